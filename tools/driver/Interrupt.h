// Ends a program that writes large files as Ctrl-C and kill ask for it, but cleans up before.
#ifndef DEJAVU_TOOLS_DRIVER_INTERRUPT_H_
#define DEJAVU_TOOLS_DRIVER_INTERRUPT_H_

#include <array>
#include <csignal>
#include <string_view>

#include "absl/status/status.h"

namespace dejavu {

/// While one of these lives, the first SIGINT, SIGTERM or SIGHUP only makes InterruptStatus() fail, so that what is
/// half written is removed on the way out; a second one ends the program at once. Signals that were ignored before
/// (nohup) stay ignored. They may be nested.
class InterruptGuard {
 public:
  InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard();

 private:
  static constexpr std::array<int, 3> kSignals = {SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_ = {};
};

/// Cancelled once a guard has caught a signal. `advice` says what the user may do then.
[[nodiscard]] absl::Status InterruptStatus(std::string_view advice = "nothing was written");

/// Ends the program by the signal that was caught, as if nothing had caught it. Returns the exit code 128 + signal
/// where that is not possible: a container's first process cannot be ended so.
int EndByInterrupt();

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_INTERRUPT_H_
