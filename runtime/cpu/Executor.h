// Runs one function of a plan on the CPU.
#ifndef DEJAVU_RUNTIME_CPU_EXECUTOR_H_
#define DEJAVU_RUNTIME_CPU_EXECUTOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ir/base/Phases.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cpu/HostBuffer.h"
#include "runtime/cpu/KernelLibrary.h"
#include "runtime/cpu/ThreadTeam.h"
#include "runtime/device/Device.h"

namespace dejavu {

class CpuModel;

/// The memory of one sequence.
struct CpuBuffers {
  HostBuffer arena;
  /// By the caches' numbers in the plan. Pages of positions that were never reached cost no memory.
  std::vector<HostBuffer> caches;
};

/// A plan's function with every argument resolved to an address. All launches of a call run in one parallel region with
/// a barrier after each. Model and buffers must outlive it; one call at a time.
class Executor : private TeamWork {
 public:
  /// Looks up every kernel; a missing one is a user error. `max_tokens` bounds the calls, `threads` their teams.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Executor>> Create(const CpuModel& model,
                                                                        const PlanFunction& function,
                                                                        int64_t max_tokens, int threads,
                                                                        const CpuBuffers& buffers);
  /// The same for one sequence of a batch, whose part of each cache starts at `sequence` times CacheInfo::bytes.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Executor>> CreateForSequence(const CpuModel& model,
                                                                                   const Plan& plan,
                                                                                   const std::string& function,
                                                                                   int64_t sequence, int threads,
                                                                                   const CpuBuffers& buffers);

  /// As DeviceSession has them; an observed Run() keeps the operands.
  void Watch(const std::vector<WatchedOperand>& operands);
  [[nodiscard]] std::span<const std::byte> Watched(size_t number) const { return watched_[number].copy; }

  /// The tokens' ids are in tokens(); afterwards the last token's logits are in logits(). `observe` fills records().
  void Run(ThreadTeam& team, int64_t tokens, int64_t past, bool observe);
  /// The same for a function of several sequences, with the past of each.
  void Run(ThreadTeam& team, std::span<const int64_t> past, bool observe);

  [[nodiscard]] int32_t* tokens() const { return tokens_; }
  [[nodiscard]] const float* logits() const { return logits_; }
  /// Where the likeliest next token is; null for a function that doesn't choose one.
  [[nodiscard]] const int32_t* choice() const { return choice_; }
  /// One per launch of the function.
  [[nodiscard]] const std::vector<LaunchRecord>& records() const { return records_; }

 private:
  struct BoundLaunch {
    const Launch* launch = nullptr;
    KernelFunction kernel = nullptr;  // null for the builtin gemm
    std::vector<void*> args;
  };

  struct Watching {
    size_t launch = 0;
    const std::byte* from = nullptr;
    std::vector<std::byte> copy;
  };

  explicit Executor(const PlanFunction& function) : function_(function) {}
  absl::Status Bind(const CpuModel& model, const CpuBuffers& buffers, const std::vector<int64_t>& cache_offsets);
  absl::Status AllocateScratch(int64_t max_tokens, int threads);
  void Run(int thread, int threads, SpinBarrier& barrier) override;
  void RunLaunch(const BoundLaunch& bound, int thread, int threads);
  void Observe(const BoundLaunch& bound, LaunchRecord& record) const;
  void KeepOperands(size_t launch);

  const PlanFunction& function_;
  std::vector<BoundLaunch> launches_;
  std::vector<LaunchRecord> records_;
  std::vector<Watching> watched_;
  HostBuffer scratch_;
  size_t scratch_floats_ = 0;  // of one thread
  int32_t* tokens_ = nullptr;
  float* logits_ = nullptr;
  int32_t* choice_ = nullptr;
  std::array<int64_t, 1 + kMaxSequences> dims_ = {};  // tokens of this call, tokens before it of each sequence
  bool observe_ = false;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_EXECUTOR_H_
