// Work that is split among threads of the host, each with sessions of its own.
#ifndef DEJAVU_TOOLS_DRIVER_JOBS_H_
#define DEJAVU_TOOLS_DRIVER_JOBS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dejavu {

/// Does the item of this number. Called by one thread at a time.
using Worker = std::function<absl::Status(int64_t item)>;

/// Gives the items 0 to `count` - 1 to the workers, each the next one as it becomes free, and returns when all are
/// done. A single worker runs on the caller's thread, several on threads of their own; where the system has no more of
/// those, what was started does all of the work. After a failure no other item is begun; of several failures the one of
/// the first item is returned. An exception of a worker comes out here.
[[nodiscard]] absl::Status RunJobs(const std::vector<Worker>& workers, int64_t count);

/// How items are shared out.
struct JobShare {
  int jobs = 1;     ///< No more than there are items.
  int threads = 1;  ///< Of the CPU, of each job.
};
/// `threads` (0: all cores) are split among `jobs`, each of which gets at least one: with more jobs than threads, as
/// many as jobs are busy. A usage error for numbers that cannot be.
[[nodiscard]] absl::StatusOr<JobShare> ShareJobs(int threads, int jobs, int64_t items);

/// What job number `job` failed to begin with; of several, with what to do about it: each needs caches and buffers of
/// its own.
[[nodiscard]] absl::Status JobStatus(const absl::Status& status, int job, const JobShare& share);

/// Lets the streams of so many sessions run side by side on a GPU. Before the first device is opened: the driver reads
/// it from the environment when it is loaded.
void AllowJobsOnGpu(int jobs);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_JOBS_H_
