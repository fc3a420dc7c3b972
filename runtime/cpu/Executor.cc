#include "runtime/cpu/Executor.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "ir/base/Status.h"
#include "runtime/cpu/CpuModel.h"
#include "runtime/cpu/Gemm.h"

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;

/// `cache_offsets`: of each cache; empty for none.
void* Address(const BufferRef& ref, const CpuModel& model, const CpuBuffers& buffers,
              const std::vector<int64_t>& cache_offsets) {
  switch (ref.kind) {
    case BufferRef::Kind::kAbsent:
      return nullptr;
    case BufferRef::Kind::kArena:
      return buffers.arena.data() + ref.value;
    case BufferRef::Kind::kWeight:
      // Kernels take all arguments alike; weights are operands, which they only read (the pages are read-only).
      return const_cast<std::byte*>(model.weights().tensor(static_cast<size_t>(ref.value)).data());
    case BufferRef::Kind::kCache:
      return buffers.caches[static_cast<size_t>(ref.value)].data() +
             (cache_offsets.empty() ? 0 : cache_offsets[static_cast<size_t>(ref.value)]);
  }
  return nullptr;
}

int64_t IndexCount(const void* index) {
  int32_t count = 0;
  std::memcpy(&count, index, sizeof(count));
  return count;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> Executor::Create(const CpuModel& model, const PlanFunction& function,
                                                           int64_t max_tokens, int threads, const CpuBuffers& buffers) {
  std::unique_ptr<Executor> executor(new Executor(function));
  RETURN_IF_ERROR(executor->Bind(model, buffers, {}));
  RETURN_IF_ERROR(executor->AllocateScratch(max_tokens, threads));
  return executor;
}

absl::StatusOr<std::unique_ptr<Executor>> Executor::CreateForSequence(const CpuModel& model, const Plan& plan,
                                                                      const std::string& function, int64_t sequence,
                                                                      int threads, const CpuBuffers& buffers) {
  std::vector<int64_t> offsets;
  for (const CacheInfo& cache : plan.caches) {
    offsets.push_back(sequence * cache.bytes);
  }
  std::unique_ptr<Executor> executor(new Executor(*plan.FindFunction(function)));
  RETURN_IF_ERROR(executor->Bind(model, buffers, offsets));
  RETURN_IF_ERROR(executor->AllocateScratch(plan.max_tokens, threads));
  return executor;
}

absl::Status Executor::Bind(const CpuModel& model, const CpuBuffers& buffers,
                            const std::vector<int64_t>& cache_offsets) {
  tokens_ = static_cast<int32_t*>(Address(function_.tokens, model, buffers, {}));
  logits_ = static_cast<float*>(Address(function_.logits, model, buffers, {}));
  choice_ = static_cast<int32_t*>(Address(function_.choice, model, buffers, {}));
  for (const Launch& launch : function_.launches) {
    BoundLaunch bound;
    bound.launch = &launch;
    if (!launch.gemm.has_value()) {
      ASSIGN_OR_RETURN(bound.kernel, model.kernels().Find(launch.symbol));
    }
    for (const BufferRef& ref : launch.args) {
      bound.args.push_back(Address(ref, model, buffers, cache_offsets));
    }
    launches_.push_back(std::move(bound));
  }
  records_.resize(launches_.size());
  return absl::OkStatus();
}

absl::Status Executor::AllocateScratch(int64_t max_tokens, int threads) {
  for (const BoundLaunch& bound : launches_) {
    if (bound.launch->gemm.has_value()) {
      scratch_floats_ = std::max(scratch_floats_, GemmScratchFloats(*bound.launch->gemm, max_tokens));
    }
  }
  // Whole cache lines for each thread.
  scratch_floats_ = (scratch_floats_ + 15) / 16 * 16;
  const size_t bytes = scratch_floats_ * sizeof(float) * static_cast<size_t>(threads);
  ASSIGN_OR_RETURN(scratch_, HostBuffer::Allocate(bytes, "prefill"));
  return absl::OkStatus();
}

void Executor::Watch(const std::vector<WatchedOperand>& operands) {
  watched_.clear();
  for (const WatchedOperand& operand : operands) {
    const void* from = launches_[operand.launch].args[operand.arg];
    watched_.push_back({operand.launch, static_cast<const std::byte*>(from), std::vector<std::byte>(operand.bytes)});
  }
}

void Executor::Run(ThreadTeam& team, int64_t tokens, int64_t past, bool observe) {
  dims_ = {tokens, past};
  observe_ = observe;
  team.Run(*this);
}

void Executor::Run(ThreadTeam& team, std::span<const int64_t> past, bool observe) {
  dims_[0] = static_cast<int64_t>(past.size());
  std::copy(past.begin(), past.end(), dims_.begin() + 1);
  observe_ = observe;
  team.Run(*this);
}

void Executor::Run(int thread, int threads, SpinBarrier& barrier) {
  const bool observes = observe_ && thread == 0;
  Clock::time_point start = observes ? Clock::now() : Clock::time_point();
  for (size_t i = 0; i < launches_.size(); ++i) {
    RunLaunch(launches_[i], thread, threads);
    if (observes) {
      // Before the barrier: afterwards the next launch may reuse the buffers.
      Observe(launches_[i], records_[i]);
      KeepOperands(i);
    }
    barrier.Wait(threads);
    if (observes) {
      const Clock::time_point end = Clock::now();
      records_[i].nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(end - start).count();
      start = end;
    }
  }
}

void Executor::RunLaunch(const BoundLaunch& bound, int thread, int threads) {
  if (bound.kernel != nullptr) {
    bound.kernel(bound.args.data(), dims_.data(), thread, threads);
    return;
  }
  const GemmSpec& spec = *bound.launch->gemm;
  GemmCall call;
  call.x = static_cast<const float*>(bound.args[0]);
  call.w = bound.args[1];
  call.bias = static_cast<const float*>(bound.args[2]);
  call.residual = static_cast<const float*>(bound.args[3]);
  call.y = static_cast<float*>(bound.args[4]);
  call.tokens = spec.tokens != 0 ? spec.tokens : dims_[0];
  float* scratch = reinterpret_cast<float*>(scratch_.data()) + static_cast<size_t>(thread) * scratch_floats_;
  RunGemm(spec, call, thread, threads, {scratch, scratch_floats_});
}

void Executor::KeepOperands(size_t launch) {
  for (Watching& watching : watched_) {
    if (watching.launch == launch) {
      std::copy_n(watching.from, watching.copy.size(), watching.copy.begin());
    }
  }
}

// Lists are operands, or the result of a kernel that thread 0 runs alone, so they are complete when it comes here.
void Executor::Observe(const BoundLaunch& bound, LaunchRecord& record) const {
  const Launch& launch = *bound.launch;
  if (launch.per_active.has_value()) {
    record.active = IndexCount(bound.args[static_cast<size_t>(launch.per_active->arg)]);
  }
  if (launch.per_positive.has_value()) {
    const auto* h = static_cast<const float*>(bound.args[static_cast<size_t>(launch.per_positive->h)]);
    const void* active = bound.args[static_cast<size_t>(launch.per_positive->active)];
    const int64_t count = std::clamp<int64_t>(IndexCount(active), 0, launch.neurons);
    record.positives = CountPositives(h, count, function_.sequences);
  }
}

}  // namespace dejavu
