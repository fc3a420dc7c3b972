// In-context learning: how often a model solves the tasks of IclTasks, by the shipped decode kernels.
#ifndef DEJAVU_TOOLS_DRIVER_ICL_H_
#define DEJAVU_TOOLS_DRIVER_ICL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/engine/Model.h"
#include "tools/driver/Intervals.h"

namespace dejavu {

/// The shares of answers that the model and the reference got right, and how much larger the reference's is.
struct IclShares {
  Interval model;
  std::optional<Interval> reference;
  std::optional<Interval> drop;
};

/// The answers after so many solved examples, or all of a task.
struct IclScore {
  int64_t shots = -1;  ///< -1: all.
  int64_t trials = 0;
  IclShares accuracy;  ///< The answer is the likeliest of all ids.
  IclShares choice;    ///< It is the likeliest of those in the sequence so far, among which it always is.
};

struct IclResult {
  std::string task;
  std::string what;
  IclScore all;
  std::vector<IclScore> by_shots;  ///< After 0, 1, 2, 4, 8 and 16 examples, as far as the positions reach.
};

struct IclOptions {
  uint64_t seed = 1;
  int64_t sequences = 32;  ///< Of each task.
  int threads = 0;         ///< Of the CPU, all jobs together, but at least one each; 0 = every core.
  int jobs = 1;            ///< Sessions (pairs of them with a reference) that take sequences side by side.
};

/// The drop whose interval reaches furthest up, of all tasks and both ways to count.
struct WorstDrop {
  std::string task;
  std::string measure;  ///< "accuracy" or "choice".
  Interval drop;
};

/// `results` must have been compared with a reference.
[[nodiscard]] WorstDrop FindWorstDrop(const std::vector<IclResult>& results);

/// Decodes every sequence token by token and counts its right answers. `reference` may
/// be null; if not, it takes the same sequences. Cancelled by an interrupt, if an InterruptGuard lives.
[[nodiscard]] absl::StatusOr<std::vector<IclResult>> ProbeIcl(const std::shared_ptr<const Model>& model,
                                                              const std::shared_ptr<const Model>& reference,
                                                              const IclOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_ICL_H_
