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
/// done. A single worker runs on the caller's thread, several on threads of their own. After a failure no other item is
/// begun; of several failures the one of the first item is returned. An exception of a worker comes out here.
[[nodiscard]] absl::Status RunJobs(const std::vector<Worker>& workers, int64_t count);

/// The CPU threads of each of `jobs` that share what `threads` stands for (0: all cores): at least 1. A usage error for
/// numbers that cannot be.
[[nodiscard]] absl::StatusOr<int> ThreadsOfJob(int threads, int jobs);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_JOBS_H_
