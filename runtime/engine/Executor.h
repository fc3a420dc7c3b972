// Runs one function of a plan on the CPU.
#ifndef DEJAVU_RUNTIME_ENGINE_EXECUTOR_H_
#define DEJAVU_RUNTIME_ENGINE_EXECUTOR_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cpu/HostBuffer.h"
#include "runtime/cpu/KernelLibrary.h"
#include "runtime/cpu/ThreadTeam.h"
#include "runtime/engine/KvCache.h"
#include "runtime/engine/Model.h"

namespace dejavu {

/// What one launch of the last observed call did.
struct LaunchRecord {
  int64_t active = 0;       ///< Entries of the list in Launch::per_active.
  int64_t positives = 0;    ///< Non-zero values of Launch::per_positive.
  int64_t nanoseconds = 0;  ///< Up to the barrier that follows.
};

/// A plan's function with every argument resolved to an address. All launches of a call run in one parallel region with
/// a barrier after each. Model, cache and arena must outlive it; one call at a time.
class Executor : private TeamWork {
 public:
  /// Looks up every kernel; a missing one is a user error. `max_tokens` bounds the calls, `threads` their teams.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Executor>> Create(const Model& model,
                                                                        const PlanFunction& function,
                                                                        int64_t max_tokens, int threads,
                                                                        const HostBuffer& arena, const KvCache& cache);

  /// The tokens' ids are in tokens(); afterwards the last token's logits are in logits(). `observe` fills records().
  void Run(ThreadTeam& team, int64_t tokens, int64_t past, bool observe);

  [[nodiscard]] int32_t* tokens() const { return tokens_; }
  [[nodiscard]] const float* logits() const { return logits_; }
  /// One per launch of the function.
  [[nodiscard]] const std::vector<LaunchRecord>& records() const { return records_; }

 private:
  struct BoundLaunch {
    const Launch* launch = nullptr;
    KernelFunction kernel = nullptr;  // null for the builtin gemm
    std::vector<void*> args;
  };

  explicit Executor(const PlanFunction& function) : function_(function) {}
  absl::Status Bind(const Model& model, const HostBuffer& arena, const KvCache& cache);
  absl::Status AllocateScratch(int64_t max_tokens, int threads);
  void Run(int thread, int threads, SpinBarrier& barrier) override;
  void RunLaunch(const BoundLaunch& bound, int thread, int threads);
  static void Observe(const BoundLaunch& bound, LaunchRecord& record);

  const PlanFunction& function_;
  std::vector<BoundLaunch> launches_;
  std::vector<LaunchRecord> records_;
  HostBuffer scratch_;
  size_t scratch_floats_ = 0;  // of one thread
  int32_t* tokens_ = nullptr;
  float* logits_ = nullptr;
  std::array<int64_t, 2> dims_ = {};  // tokens of this call, tokens before it
  bool observe_ = false;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ENGINE_EXECUTOR_H_
