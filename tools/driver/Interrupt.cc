#include "tools/driver/Interrupt.h"

#include <atomic>
#include <cstddef>
#include <string>

namespace dejavu {
namespace {

// Read by any thread.
std::atomic<int> caught = 0;
static_assert(std::atomic<int>::is_always_lock_free, "a handler may not lock");

void Catch(int signal) { caught = signal; }

}  // namespace

InterruptGuard::InterruptGuard() {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler == SIG_IGN) {
      continue;
    }
    struct sigaction action = {};
    action.sa_handler = Catch;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigemptyset(&action.sa_mask);
    sigaction(kSignals[i], &action, nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  for (size_t i = 0; i < kSignals.size(); ++i) {
    sigaction(kSignals[i], &before_[i], nullptr);
  }
}

absl::Status InterruptStatus(std::string_view advice) {
  return caught == 0 ? absl::OkStatus() : absl::CancelledError(std::string("interrupted; ").append(advice));
}

int EndByInterrupt() {
  const int signal = caught;
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  return 128 + signal;
}

}  // namespace dejavu
