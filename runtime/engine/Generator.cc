#include "runtime/engine/Generator.h"

#include <algorithm>
#include <chrono>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

absl::StatusOr<FinishReason> Loop(Session& session, std::span<const float> logits, Sampler& sampler,
                                  int64_t max_new_tokens, const std::function<bool(int32_t)>& on_token,
                                  std::vector<int32_t>& tokens) {
  const ModelInfo& model = session.model().info();
  while (static_cast<int64_t>(tokens.size()) < max_new_tokens) {
    ASSIGN_OR_RETURN(const int32_t token, sampler.Sample(logits));
    if (token == model.eos) {
      return FinishReason::kEos;
    }
    tokens.push_back(token);
    if (on_token && !on_token(token)) {
      return FinishReason::kStopped;
    }
    if (static_cast<int64_t>(tokens.size()) == max_new_tokens) {
      break;
    }
    if (session.position() == model.positions) {
      return FinishReason::kPositions;
    }
    ASSIGN_OR_RETURN(logits, session.Decode(token));
  }
  return FinishReason::kLength;
}

/// The same for the likeliest tokens, which the device chooses by itself after the first.
absl::StatusOr<FinishReason> GreedyLoop(Session& session, std::span<const float> logits, Sampler& sampler,
                                        int64_t max_new_tokens, const std::function<bool(int32_t)>& on_token,
                                        std::vector<int32_t>& tokens) {
  const ModelInfo& model = session.model().info();
  std::optional<FinishReason> reason;
  const auto take = [&](int32_t token) {
    if (token == model.eos) {
      reason = FinishReason::kEos;
      return false;
    }
    tokens.push_back(token);
    if (on_token && !on_token(token)) {
      reason = FinishReason::kStopped;
    } else if (static_cast<int64_t>(tokens.size()) == max_new_tokens) {
      reason = FinishReason::kLength;
    }
    return !reason.has_value();
  };
  if (max_new_tokens == 0) {
    return FinishReason::kLength;
  }
  ASSIGN_OR_RETURN(const int32_t first, sampler.Sample(logits));
  const int64_t count = std::min(max_new_tokens - 1, model.positions - session.position());
  if (take(first) && count > 0) {
    RETURN_IF_ERROR(session.DecodeGreedily(first, count, take));
  }
  return reason.value_or(FinishReason::kPositions);
}

}  // namespace

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEos:
      return "eos";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kPositions:
      return "positions";
    case FinishReason::kStopped:
      return "stopped";
  }
  return "";
}

absl::Status ValidateGenerateOptions(const GenerateOptions& options) {
  if (options.max_new_tokens < 0) {
    return UsageError("the number of new tokens must not be negative, but is ", options.max_new_tokens);
  }
  return ValidateSamplingOptions(options.sampling);
}

absl::StatusOr<Generation> Generate(Session& session, std::span<const float> logits, const GenerateOptions& options,
                                    const std::function<bool(int32_t)>& on_token) {
  RETURN_IF_ERROR(ValidateGenerateOptions(options));
  ASSIGN_OR_RETURN(Sampler sampler, Sampler::Create(options.sampling));
  Generation generation;
  const int64_t before = session.position();
  const Clock::time_point start = Clock::now();
  const auto loop = options.sampling.temperature == 0 ? GreedyLoop : Loop;
  ASSIGN_OR_RETURN(generation.finish_reason,
                   loop(session, logits, sampler, options.max_new_tokens, on_token, generation.tokens));
  const int64_t decoded = session.position() - before;
  if (decoded > 0) {
    generation.ms_per_token = Milliseconds(Clock::now() - start).count() / static_cast<double>(decoded);
  }
  return generation;
}

}  // namespace dejavu
