// Trains the paper's predictors: two matrices of low rank that tell from a vector which neurons a token needs.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_LOWRANKTRAINER_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_LOWRANKTRAINER_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "ir/base/Status.h"
#include "passes/sparsity/training/LayerRows.h"

namespace dejavu {

/// scores = up (down x + down_bias) + up_bias; positive ones are chosen.
struct LowRankPredictor {
  int64_t rank = 0;
  int64_t width = 0;
  int64_t outputs = 0;
  std::vector<float> down;       ///< f32<rank, width>
  std::vector<float> down_bias;  ///< f32<rank>
  std::vector<float> up;         ///< f32<outputs, rank>
  std::vector<float> up_bias;    ///< f32<outputs>
};

/// Called now and then while it works; an error ends the work with it.
using OnTick = std::function<absl::Status()>;

struct TrainerOptions {
  int64_t max_rank = 0;  ///< Predictors of ranks up to this can be asked for.
  /// Of an element, as it will be deployed. With 4, the first matrix is rounded to that already, with care;
  /// AsDeployed() does the rest.
  int64_t bits = 16;
  int threads = 1;  ///< Results don't depend on it.
};

/// Fits predictors of any rank to one layer. Nothing is descended: what a neuron receives, z = fc1 m + bias, is linear
/// in the MLP's input m, and the best linear guess of m from the predictor's input x is the solution of a linear
/// system. Their product is a guess of z from x, and its best form of low rank, over the text's x, follows from the
/// leading eigenvectors of a symmetric matrix. (Gradient descent on the cross-entropy of which neurons are active needs
/// a hundred times the work and was worse after a quarter of an hour a layer.)
///
/// What is left of z, with a standard deviation s, is nearly normal. So a neuron whose guess is g adds about
/// E[relu(g + s n)] |fc2's column| to the result, whose logarithm is about 2.5 g / s + log(s |column|) where that
/// matters. That is its score: one threshold for a layer then keeps what counts most for each row that is read.
class LowRankTrainer {
 public:
  /// Looks at all but the last `held_out` rows. `rows` and `mlp` must outlive the trainer. Fails where numbers are
  /// infinite or NaN, or rows too few.
  [[nodiscard]] static absl::StatusOr<LowRankTrainer> Create(const LayerRows& rows, int64_t held_out,
                                                             const MlpWeights& mlp, const TrainerOptions& options,
                                                             const OnTick& on_tick);

  /// The predictor of this rank, 1 to max_rank and at most the width. How sure its guesses are is measured on at most
  /// `measured` rows.
  [[nodiscard]] absl::StatusOr<LowRankPredictor> Train(int64_t rank, int64_t measured = 8192) const;

 private:
  LowRankTrainer(const LayerRows& rows, int64_t count, const MlpWeights& mlp, int threads)
      : rows_(rows), count_(count), mlp_(mlp), threads_(threads) {}
  absl::Status Measure(const OnTick& on_tick);
  absl::Status Fit(int64_t max_rank, int64_t bits, const OnTick& on_tick);
  [[nodiscard]] std::vector<float> Deviations(const LowRankPredictor& predictor, int64_t measured) const;

  const LayerRows& rows_;
  int64_t count_;  // of rows to look at
  const MlpWeights& mlp_;
  int threads_;
  std::vector<double> x_mean_;      // (width)
  std::vector<double> m_mean_;      // (width)
  std::vector<double> covariance_;  // of x, (width, width); then its Cholesky factor
  std::vector<double> cross_;       // of x and m, (width, width); then the regression of m on x
  int64_t max_rank_ = 0;
  std::vector<float> down_;  // (max_rank, width): hidden values of variance 1; rounded
  std::vector<float> up_;    // (neurons, max_rank): guesses of z
};

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_LOWRANKTRAINER_H_
