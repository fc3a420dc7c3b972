// The generation loop: sample, decode, repeat.
#ifndef DEJAVU_RUNTIME_ENGINE_GENERATOR_H_
#define DEJAVU_RUNTIME_ENGINE_GENERATOR_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/engine/Session.h"
#include "runtime/text/Sampler.h"

namespace dejavu {

struct GenerateOptions {
  int64_t max_new_tokens = 64;
  SamplingOptions sampling = {};
};

/// A usage error if the options have no meaning.
[[nodiscard]] absl::Status ValidateGenerateOptions(const GenerateOptions& options);

/// kEos: the model ended the text; kLength: max_new_tokens came; kPositions: the model's positions are full; kStopped:
/// the callback asked for it.
enum class FinishReason { kEos, kLength, kPositions, kStopped };

/// "eos", "length", "positions" or "stopped".
[[nodiscard]] std::string_view FinishReasonName(FinishReason reason);

struct Generation {
  std::vector<int32_t> tokens;  ///< Without the one that ended the text.
  FinishReason finish_reason = FinishReason::kLength;
  std::optional<double> ms_per_token;  ///< Mean time to decode a token and choose the next; none if none was decoded.
};

/// Continues `session`, whose last call returned `logits`. `on_token`, if any, sees each token as it is chosen and
/// returns whether to go on. After an error between tokens the session holds the tokens decoded so far.
[[nodiscard]] absl::StatusOr<Generation> Generate(Session& session, std::span<const float> logits,
                                                  const GenerateOptions& options,
                                                  const std::function<bool(int32_t)>& on_token = nullptr);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ENGINE_GENERATOR_H_
