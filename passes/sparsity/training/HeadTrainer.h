// Trains what tells from a vector which attention heads a token needs.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_HEADTRAINER_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_HEADTRAINER_H_

#include <cstdint>
#include <span>
#include <vector>

#include "ir/base/Status.h"
#include "passes/sparsity/training/LayerRows.h"
#include "passes/sparsity/training/LowRankTrainer.h"

namespace dejavu {

/// What is recorded of one layer's heads: for each row, which is a token, what the predictor reads and what all heads
/// put out, before the output layer.
struct HeadRows {
  int64_t width = 0;
  std::vector<uint16_t> inputs;   ///< f16<rows, width>
  std::vector<uint16_t> outputs;  ///< f16<rows, width>, head by head

  [[nodiscard]] int64_t rows() const { return static_cast<int64_t>(outputs.size()) / width; }
};

/// The output layer behind the heads, in f32, and what they count. The spans are the caller's.
struct HeadWeights {
  int64_t heads = 0;
  std::span<const float> out;           ///< (width, width)
  std::span<const double> sensitivity;  ///< (heads): see MeasureSensitivity()
};

/// scores = weight x + bias, one for each head; positive ones are chosen. There are so few that one matrix is enough.
struct HeadPredictor {
  int64_t heads = 0;
  int64_t width = 0;
  std::vector<float> weight;  ///< f32<heads, width>
  std::vector<float> bias;    ///< f32<heads>
};

/// Fits all but the last `held_out` rows. With c what a head adds to the result at a token, and s its sensitivity, the
/// head counts m = s |c|^2, and exp(2 score) is the m to be expected, where the score is linear in the input: scores of
/// all layers compare. Results don't depend on `threads`. Fails where numbers are infinite or NaN, or rows too few.
/// By the likelihood of a gamma distribution, for which m may be off by any factor: the largest |c| are a hundred times
/// the usual one, and a regression of |c|^2 by squares learns nothing else. The expectation of log(m), from which this
/// starts, ranks heads whose m varies more too low.
[[nodiscard]] absl::StatusOr<HeadPredictor> TrainHeads(const HeadRows& rows, int64_t held_out,
                                                       const HeadWeights& weights, int threads, const OnTick& on_tick);

/// The predictor as it is deployed: as AsDeployed() of another one.
[[nodiscard]] absl::StatusOr<HeadPredictor> AsDeployed(const HeadPredictor& predictor, int64_t bits);

/// What a head of a row is scored, and its m.
struct ScoredHead {
  float score = 0;
  float mass = 0;
};
/// Of all heads in the last `held_out` rows.
[[nodiscard]] std::vector<ScoredHead> ScoreHeads(const HeadPredictor& predictor, const HeadRows& rows, int64_t held_out,
                                                 const HeadWeights& weights, int threads);

/// What one threshold for the heads of all layers does to one of them.
struct HeadPoint {
  double share = 0;  ///< Of the heads of all layers, what is chosen.
  float threshold = 0;
  double kept = 0;    ///< The share of this layer's heads that is chosen.
  double recall = 0;  ///< Of the layer's sum of m, what the chosen ones have.
};
/// By layer, for each of `shares`, from 0 to 1: the highest threshold above which so many heads are. So what is left
/// out is what seems to matter least, in whatever layer it is. A layer without scores is dense; its heads count as
/// chosen. Fails where numbers are infinite or NaN.
[[nodiscard]] absl::StatusOr<std::vector<std::vector<HeadPoint>>> FindHeadThresholds(
    std::span<const std::vector<ScoredHead>> layers, std::span<const double> shares);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_HEADTRAINER_H_
