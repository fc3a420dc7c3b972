// The time of each launch of a plan, as what it takes in most steps.
#ifndef DEJAVU_TOOLS_DRIVER_LAUNCHTIMES_H_
#define DEJAVU_TOOLS_DRIVER_LAUNCHTIMES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/engine/Statistics.h"

namespace dejavu {

/// Collects each launch's time in every step: a mean would count each time slice that another program took.
class LaunchTimes {
 public:
  /// Of the launches of `statistics`, which must outlive it, from its state of now on. Keeps the first `most` steps.
  explicit LaunchTimes(const Statistics& statistics, size_t most = SIZE_MAX);

  /// After each decoded token.
  void AddStep();

  /// By launch, in microseconds; 0 without a step.
  [[nodiscard]] std::vector<double> Medians() const;

 private:
  struct Series {
    int64_t total = 0;          // nanoseconds up to the last step
    std::vector<double> steps;  // microseconds of each
  };
  const Statistics& statistics_;
  size_t most_;
  std::vector<Series> times_;
};

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_LAUNCHTIMES_H_
