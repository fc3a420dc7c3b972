// What a trained predictor keeps and misses, on rows that it was not trained on.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_THRESHOLDS_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_THRESHOLDS_H_

#include <span>
#include <vector>

#include "ir/base/Status.h"
#include "passes/sparsity/training/LayerRows.h"
#include "passes/sparsity/training/LowRankTrainer.h"

namespace dejavu {

/// Choosing what scores above `threshold`.
struct OperatingPoint {
  double mass = 0;  ///< The share that is kept of the sum of all neurons' outputs times norms.
  float threshold = 0;
  double kept = 0;    ///< The share of the neurons that is chosen.
  double recall = 0;  ///< The share of the active ones that is chosen.
};

/// How active a layer is, whatever a predictor says.
struct LayerActivity {
  double density = 0;              ///< The share of the neurons that is active.
  std::vector<double> mass_curve;  ///< For each of kCurveShares, the mass of that share of each token's best neurons.
  /// For each mass that was asked for: choosing the neurons whose output times norm is above `threshold`, as one could
  /// who knew them.
  std::vector<OperatingPoint> best;
};
inline constexpr double kCurveShares[] = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5};

/// The predictor as it is deployed: matrices rounded to f16, as a profile stores them, and then, unless `bits` is 16,
/// to 8 or 4 bits with one scale a row, as the compiler packs them.
[[nodiscard]] absl::StatusOr<LowRankPredictor> AsDeployed(const LowRankPredictor& predictor, int64_t bits);
/// The same of one matrix, f32<rows, columns>. Where rows can't have 4 bits, they have 8.
[[nodiscard]] absl::StatusOr<std::vector<float>> AsDeployed(const std::vector<float>& matrix, int64_t rows,
                                                            int64_t columns, int64_t bits);

/// The highest threshold for each of `masses`, shares from 0 to 1, that keeps that much of the last `held_out` rows.
/// Fails where nothing is active in them or numbers overflow.
[[nodiscard]] absl::StatusOr<std::vector<OperatingPoint>> FindThresholds(const LowRankPredictor& predictor,
                                                                         const LayerRows& rows, int64_t held_out,
                                                                         const MlpWeights& mlp,
                                                                         std::span<const double> masses, int threads);

/// Of the last `count` rows; the best thresholds for `masses_of_best`.
[[nodiscard]] LayerActivity MeasureActivity(const LayerRows& rows, int64_t count, const MlpWeights& mlp,
                                            std::span<const double> masses_of_best, int threads);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_THRESHOLDS_H_
