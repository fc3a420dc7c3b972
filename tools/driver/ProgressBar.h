// A line on the terminal that says how far a long task is.
#ifndef DEJAVU_TOOLS_DRIVER_PROGRESSBAR_H_
#define DEJAVU_TOOLS_DRIVER_PROGRESSBAR_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace dejavu {

/// Draws on stderr if that is a terminal, and nothing otherwise. The destructor clears the line. For one thread at a
/// time.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();

  /// `done` of `total` units of work; redraws at most ten times a second. `note` stands after the estimate.
  void Update(int64_t done, int64_t total, const std::string& note = "");

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  bool enabled_;
  bool drawn_ = false;
  Clock::time_point start_;
  Clock::time_point last_;
};

/// "45 s", "3 min 20 s" or "2 h 05 min".
[[nodiscard]] std::string DurationText(double seconds);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_PROGRESSBAR_H_
