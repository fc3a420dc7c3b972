#include "runtime/cpu/CpuMemoryMeter.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "runtime/cpu/CpuFeatures.h"

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;

// Numbers added side by side, enough to keep every load port busy.
constexpr size_t kLanes = 64;
// A cache line, and how far ahead lines are asked for: 4 KB.
constexpr size_t kLineNumbers = 8;
constexpr size_t kAheadNumbers = 512;

/// The sum of whole groups of kLanes numbers. Inlined into a variant for wider registers below.
__attribute__((always_inline)) inline uint64_t SumLanes(const uint64_t* data, size_t count) {
  std::array<uint64_t, kLanes> sums = {};
  for (size_t i = 0; i + kLanes <= count; i += kLanes) {
    // Without this, two threads read some tenth less than the kernels do, which ask ahead too.
    for (size_t line = 0; line < kLanes; line += kLineNumbers) {
      __builtin_prefetch(data + i + line + kAheadNumbers);
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += data[i + lane];
    }
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) {
    total += sum;
  }
  return total;
}

uint64_t SumBaseline(const uint64_t* data, size_t count) { return SumLanes(data, count); }

using SumFunction = uint64_t (*)(const uint64_t*, size_t);

#if defined(__x86_64__)
__attribute__((target("avx2"))) uint64_t SumAvx2(const uint64_t* data, size_t count) { return SumLanes(data, count); }

SumFunction BestSum() { return HasLevel3() ? SumAvx2 : SumBaseline; }
#else
SumFunction BestSum() { return SumBaseline; }
#endif

/// The numbers of a thread's part of `count`: first and how many.
std::pair<size_t, size_t> Part(size_t count, int thread, int threads) {
  const size_t share = (count / static_cast<size_t>(threads) + kLanes - 1) / kLanes * kLanes;
  const size_t first = std::min(count, share * static_cast<size_t>(thread));
  return {first, std::min(count - first, share)};
}

class CopyWork : public TeamWork {
 public:
  CopyWork(const uint64_t* from, uint64_t* to, size_t count) : from_(from), to_(to), count_(count) {}

  void Run(int thread, int threads, SpinBarrier& barrier) override {
    const auto [first, count] = Part(count_, thread, threads);
    std::memcpy(to_ + first, from_ + first, count * sizeof(uint64_t));
    barrier.Wait(threads);
  }

 private:
  const uint64_t* from_;
  uint64_t* to_;
  size_t count_;
};

class ReadWork : public TeamWork {
 public:
  ReadWork(const uint64_t* from, size_t count) : from_(from), count_(count) {}

  void Run(int thread, int threads, SpinBarrier& barrier) override {
    const auto [first, count] = Part(count_, thread, threads);
    total_.fetch_add(sum_(from_ + first, count), std::memory_order_relaxed);
    barrier.Wait(threads);
  }

 private:
  const uint64_t* from_;
  size_t count_;
  SumFunction sum_ = BestSum();
  std::atomic<uint64_t> total_ = 0;  // keeps the compiler from dropping the loads
};

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryMeter>> CpuMemoryMeter::Create(size_t bytes, int threads) {
  const size_t whole = std::max(bytes, kLanes * sizeof(uint64_t)) / sizeof(uint64_t) * sizeof(uint64_t);
  auto from = HostBuffer::Allocate(whole, "measuring the memory's speed");
  auto to = HostBuffer::Allocate(whole, "measuring the memory's speed");
  if (!from.ok() || !to.ok()) {
    return from.ok() ? to.status() : from.status();
  }
  // Touched once, so that the system has given every page.
  std::memset(from->data(), 1, whole);
  std::memset(to->data(), 1, whole);
  return std::unique_ptr<MemoryMeter>(new CpuMemoryMeter(*std::move(from), *std::move(to), threads));
}

absl::StatusOr<double> CpuMemoryMeter::Copy() {
  CopyWork work(reinterpret_cast<const uint64_t*>(from_.data()), reinterpret_cast<uint64_t*>(to_.data()),
                from_.size() / sizeof(uint64_t));
  return Measure(work, 2.0 * static_cast<double>(from_.size()));
}

absl::StatusOr<std::optional<double>> CpuMemoryMeter::Read() {
  ReadWork work(reinterpret_cast<const uint64_t*>(from_.data()), from_.size() / sizeof(uint64_t));
  return Measure(work, static_cast<double>(from_.size()));
}

double CpuMemoryMeter::Measure(TeamWork& work, double bytes) const {
  ThreadTeam team(threads_);
  const Clock::time_point start = Clock::now();
  team.Run(work);
  return bytes / 1e9 / std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace dejavu
