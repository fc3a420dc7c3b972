#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "ir/base/Status.h"
#include "tools/driver/Jobs.h"

namespace dejavu {
namespace {

TEST(JobsTest, EachItemIsDoneOnceByOneThreadPerWorker) {
  for (const size_t count : {size_t{1}, size_t{4}}) {
    std::vector<std::atomic<int>> done(100);
    std::vector<std::vector<std::thread::id>> threads(count);
    std::vector<Worker> workers;
    for (size_t i = 0; i < count; ++i) {
      workers.emplace_back([&, i](int64_t item) {
        ++done[static_cast<size_t>(item)];
        threads[i].push_back(std::this_thread::get_id());
        return absl::OkStatus();
      });
    }
    EXPECT_TRUE(RunJobs(workers, 100).ok());
    for (const std::atomic<int>& times : done) {
      EXPECT_EQ(times, 1);
    }
    for (const std::vector<std::thread::id>& own : threads) {
      for (const std::thread::id& id : own) {
        EXPECT_EQ(id, own.front());
        EXPECT_EQ(id == std::this_thread::get_id(), count == 1);
      }
    }
  }
}

TEST(JobsTest, TheFirstItemThatFailedIsReported) {
  // Item 4 fails when item 5 has failed already, and nothing after them is begun.
  std::atomic<bool> later_failed = false;
  std::atomic<int64_t> last = 0;
  const Worker worker = [&](int64_t item) {
    last = std::max<int64_t>(last, item);
    if (item == 4) {
      while (!later_failed) {
        std::this_thread::yield();
      }
      return absl::Status(UserError("item 4"));
    }
    if (item == 5) {
      later_failed = true;
      return absl::Status(UserError("item 5"));
    }
    return absl::OkStatus();
  };
  const absl::Status status = RunJobs({worker, worker}, 1000);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("item 4"));
  EXPECT_LE(last, 5);
}

TEST(JobsTest, ExceptionsComeOut) {
  const Worker worker = [](int64_t item) {
    if (item == 3) {
      throw std::runtime_error("item 3");
    }
    return absl::OkStatus();
  };
  EXPECT_THROW((void)RunJobs({worker, worker, worker}, 10), std::runtime_error);
}

TEST(JobsTest, JobsShareTheThreads) {
  EXPECT_EQ(ShareJobs(8, 3, 10)->threads, 2);
  EXPECT_EQ(ShareJobs(2, 5, 10)->threads, 1);
  EXPECT_EQ(ShareJobs(8, 5, 2)->jobs, 2);
  EXPECT_EQ(ShareJobs(8, 5, 2)->threads, 4);
  EXPECT_GE(ShareJobs(0, 1, 1)->threads, 1);
  EXPECT_FALSE(ShareJobs(8, 0, 1).ok());
  EXPECT_FALSE(ShareJobs(-1, 2, 1).ok());
}

}  // namespace
}  // namespace dejavu
