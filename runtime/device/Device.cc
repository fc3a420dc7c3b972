#include "runtime/device/Device.h"

#include <cmath>
#include <limits>

#include "ir/base/Status.h"

namespace dejavu {

int32_t LikeliestToken(std::span<const float> logits) {
  int32_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i];
    if (std::isnan(logit) || logit == std::numeric_limits<float>::infinity()) {
      return -1;
    }
    if (std::isfinite(logit) && (best < 0 || logit > logits[static_cast<size_t>(best)])) {
      best = static_cast<int32_t>(i);
    }
  }
  return best;
}

absl::StatusOr<int32_t> DeviceSession::Choice() {
  ASSIGN_OR_RETURN(const std::span<const float> logits, Logits());
  return LikeliestToken(logits);
}

absl::Status DeviceSession::DecodeGreedily(int32_t token, int64_t past, int64_t count, const OnChoice& on_choice) {
  for (int64_t i = 0; i < count; ++i) {
    RETURN_IF_ERROR(Decode(token, past + i, /*observe=*/false));
    ASSIGN_OR_RETURN(token, Choice());
    if (!on_choice(token)) {
      break;
    }
  }
  return absl::OkStatus();
}

}  // namespace dejavu
