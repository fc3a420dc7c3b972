#include "runtime/cpu/CpuBatch.h"

#include <algorithm>

#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "runtime/cpu/CpuModel.h"

namespace dejavu {

absl::StatusOr<std::unique_ptr<DeviceBatch>> CpuBatch::Create(const CpuModel& model, const Plan& plan,
                                                              int64_t sequences, int threads) {
  CpuBuffers buffers;
  for (const CacheInfo& cache : plan.caches) {
    ASSIGN_OR_RETURN(HostBuffer buffer, HostBuffer::Allocate(static_cast<size_t>(cache.bytes * sequences),
                                                             absl::StrCat("the KV caches '", cache.name, "'")));
    buffers.caches.push_back(std::move(buffer));
  }
  ASSIGN_OR_RETURN(buffers.arena, HostBuffer::Allocate(static_cast<size_t>(plan.arena_bytes), "the activations"));
  std::unique_ptr<CpuBatch> batch(new CpuBatch(std::move(buffers), threads, model.vocab(), sequences));
  RETURN_IF_ERROR(batch->Bind(model, plan));
  return batch;
}

absl::Status CpuBatch::Bind(const CpuModel& model, const Plan& plan) {
  const auto sequences = static_cast<int64_t>(choices_.size());
  ASSIGN_OR_RETURN(decode_, Executor::Create(model, *plan.FindFunction(DecodeName(sequences)), sequences,
                                             team_.threads(), buffers_));
  has_prefill_ = plan.FindFunction("prefill") != nullptr;
  for (int64_t i = 0; i < sequences; ++i) {
    ASSIGN_OR_RETURN(
        std::unique_ptr<Executor> executor,
        Executor::CreateForSequence(model, plan, has_prefill_ ? "prefill" : "decode", i, team_.threads(), buffers_));
    prompts_.push_back(std::move(executor));
  }
  return absl::OkStatus();
}

absl::Status CpuBatch::Prefill(int64_t sequence, std::span<const int32_t> tokens, int64_t past) {
  Executor& executor = *prompts_[static_cast<size_t>(sequence)];
  const size_t chunk = has_prefill_ ? tokens.size() : 1;
  for (size_t i = 0; i < tokens.size(); i += chunk) {
    std::copy_n(tokens.begin() + static_cast<ptrdiff_t>(i), chunk, executor.tokens());
    executor.Run(team_, static_cast<int64_t>(chunk), past + static_cast<int64_t>(i), /*observe=*/false);
  }
  logits_ = {executor.logits(), vocab_};
  return absl::OkStatus();
}

absl::Status CpuBatch::Decode(std::span<const int32_t> tokens, std::span<const int64_t> past, bool observe) {
  std::copy(tokens.begin(), tokens.end(), decode_->tokens());
  decode_->Run(team_, past, observe);
  logits_ = {decode_->logits(), vocab_ * tokens.size()};
  for (size_t i = 0; i < choices_.size(); ++i) {
    choices_[i] =
        decode_->choice() != nullptr ? decode_->choice()[i] : LikeliestToken(logits_.subspan(i * vocab_, vocab_));
  }
  return absl::OkStatus();
}

}  // namespace dejavu
