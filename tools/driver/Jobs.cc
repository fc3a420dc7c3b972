#include "tools/driver/Jobs.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "ir/base/Status.h"
#include "runtime/engine/Session.h"

namespace dejavu {
namespace {

/// Hands out items and keeps the first failure. For any thread.
class Items {
 public:
  explicit Items(int64_t count) : count_(count), failed_(count) {}

  /// The next item, or -1 when none is left or one has failed.
  int64_t Take() {
    const std::lock_guard lock(mutex_);
    return failed_ < count_ || next_ == count_ ? -1 : next_++;
  }

  void Fail(int64_t item, absl::Status status, std::exception_ptr exception = nullptr) {
    const std::lock_guard lock(mutex_);
    if (item < failed_) {
      failed_ = item;
      status_ = std::move(status);
      exception_ = std::move(exception);
    }
  }

  /// When no thread works any more.
  absl::Status Result() const {
    if (exception_ != nullptr) {
      std::rethrow_exception(exception_);
    }
    return status_;
  }

 private:
  std::mutex mutex_;
  int64_t count_;
  int64_t next_ = 0;
  int64_t failed_;  // the first item that failed, or count_
  absl::Status status_;
  std::exception_ptr exception_;
};

void Work(const Worker& worker, Items& items) {
  for (int64_t item = items.Take(); item >= 0; item = items.Take()) {
    try {
      const absl::Status status = worker(item);
      if (!status.ok()) {
        items.Fail(item, status);
      }
    } catch (...) {
      items.Fail(item, absl::OkStatus(), std::current_exception());
    }
  }
}

}  // namespace

absl::Status RunJobs(const std::vector<Worker>& workers, int64_t count) {
  Items items(count);
  if (workers.size() == 1) {
    Work(workers[0], items);
    return items.Result();
  }
  {
    std::vector<std::jthread> threads;
    try {
      for (const Worker& worker : workers) {
        threads.emplace_back([&worker, &items] { Work(worker, items); });
      }
    } catch (const std::system_error&) {
      if (threads.empty()) {
        Work(workers[0], items);
      }
    }
  }
  return items.Result();
}

absl::StatusOr<JobShare> ShareJobs(int threads, int jobs, int64_t items) {
  if (jobs < 1) {
    return UsageError("the number of jobs must be at least 1, but is ", jobs);
  }
  ASSIGN_OR_RETURN(const int all, ChooseThreads(threads));
  const int used = static_cast<int>(std::clamp<int64_t>(items, 1, jobs));
  return JobShare{used, std::max(all / used, 1)};
}

absl::Status JobStatus(const absl::Status& status, int job, const JobShare& share) {
  if (status.ok() || share.jobs == 1) {
    return status;
  }
  return absl::Status(status.code(), absl::StrCat("job ", job + 1, " of ", share.jobs, ": ", status.message(),
                                                  "; each job has caches and buffers of its own: ask for fewer"));
}

void AllowJobsOnGpu(int jobs) {
  constexpr int kDefaultConnections = 8;
  if (jobs > kDefaultConnections) {
    setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", /*overwrite=*/0);
  }
}

}  // namespace dejavu
