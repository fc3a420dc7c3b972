// What predicts each layer's neurons, layer by layer: the plan of insert-predictors.
#ifndef DEJAVU_PASSES_SPARSITY_PREDICTORPLAN_H_
#define DEJAVU_PASSES_SPARSITY_PREDICTORPLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/Status.h"

namespace dejavu {

/// kCascade: what kLowRank lists, a copy tests.
enum class PredictorFamily : uint8_t { kNone, kCertified, kCopy, kLowRank, kCascade };

struct CopyOptions {
  int64_t bits = 0;   ///< Of an element of the copy: 2, 3, 4 or 8.
  int64_t group = 0;  ///< Columns that share a scale: 32, 64 or 128.
  double margin = 0;  ///< In deviations of the copy's error.
};

/// What predicts the neurons of one layer.
struct LayerPredictor {
  PredictorFamily family = PredictorFamily::kNone;
  CopyOptions copy;  ///< Of kCopy and kCascade.
  double mass =
      0;  ///< Of kLowRank and kCascade, the share of the layer's activations whose thresholds the profile has.
};

/// Parses one word: "none", "certified", "copy/3/128/1.5" (bits, group, margin), "low-rank/0.99" (mass) or
/// "cascade/0.99/3/128/1.5". Anything else is a usage error that quotes it.
[[nodiscard]] absl::StatusOr<LayerPredictor> ParseLayerPredictor(std::string_view word);
/// The word that ParseLayerPredictor reads.
[[nodiscard]] std::string PrintLayerPredictor(const LayerPredictor& predictor);

/// Words with plus signs between them, one for each layer.
[[nodiscard]] absl::StatusOr<std::vector<LayerPredictor>> ParsePredictorPlan(std::string_view text);

/// For each layer the share of heads that it chooses, one that a profile has thresholds for, or "none", with plus signs
/// between them: "none+0.9+0.8". Anything else is a usage error that quotes it.
[[nodiscard]] absl::StatusOr<std::vector<std::optional<double>>> ParseHeadPlan(std::string_view text);

/// A usage error unless a copy can be so.
[[nodiscard]] absl::Status CheckCopyOptions(const CopyOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_PREDICTORPLAN_H_
