#include "runtime/cpu/CpuSession.h"

#include <algorithm>

#include "ir/base/Status.h"
#include "runtime/cpu/CpuModel.h"

namespace dejavu {

absl::StatusOr<std::unique_ptr<DeviceSession>> CpuSession::Create(const CpuModel& model, const Plan& plan,
                                                                  int threads) {
  CpuBuffers buffers;
  for (const CacheInfo& cache : plan.caches) {
    ASSIGN_OR_RETURN(HostBuffer buffer, HostBuffer::Allocate(static_cast<size_t>(cache.bytes),
                                                             absl::StrCat("the KV cache '", cache.name, "'")));
    buffers.caches.push_back(std::move(buffer));
  }
  ASSIGN_OR_RETURN(buffers.arena, HostBuffer::Allocate(static_cast<size_t>(plan.arena_bytes), "the activations"));
  std::unique_ptr<CpuSession> session(new CpuSession(std::move(buffers), threads, model.vocab()));
  RETURN_IF_ERROR(session->Bind(model, plan));
  return session;
}

absl::Status CpuSession::Bind(const CpuModel& model, const Plan& plan) {
  ASSIGN_OR_RETURN(decode_, Executor::Create(model, *plan.FindFunction("decode"), 1, team_.threads(), buffers_));
  const PlanFunction* prefill = plan.FindFunction("prefill");
  if (prefill != nullptr) {
    ASSIGN_OR_RETURN(prefill_, Executor::Create(model, *prefill, plan.max_tokens, team_.threads(), buffers_));
  }
  return absl::OkStatus();
}

absl::Status CpuSession::Prefill(std::span<const int32_t> tokens, int64_t past) {
  std::copy(tokens.begin(), tokens.end(), prefill_->tokens());
  prefill_->Run(team_, static_cast<int64_t>(tokens.size()), past, /*observe=*/false);
  logits_ = {prefill_->logits(), vocab_};
  return absl::OkStatus();
}

absl::Status CpuSession::Decode(int32_t token, int64_t past, bool observe) {
  *decode_->tokens() = token;
  decode_->Run(team_, 1, past, observe);
  logits_ = {decode_->logits(), vocab_};
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LaunchSpan>> CpuSession::Trace(int32_t token, int64_t past) {
  RETURN_IF_ERROR(Decode(token, past, /*observe=*/true));
  std::vector<LaunchSpan> spans;
  int64_t end = 0;
  // Launches follow each other here, whatever their stream.
  for (const LaunchRecord& record : records()) {
    spans.push_back({end, end + record.nanoseconds});
    end += record.nanoseconds;
  }
  return spans;
}

absl::Status CpuSession::Read(const BufferRef& from, std::span<std::byte> to) {
  std::copy_n(buffers_.arena.data() + from.value, to.size(), to.begin());
  return absl::OkStatus();
}

absl::StatusOr<int32_t> CpuSession::Choice() {
  return decode_->choice() != nullptr ? *decode_->choice() : DeviceSession::Choice();
}

}  // namespace dejavu
