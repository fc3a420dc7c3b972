// The predictors of the paper: two matrices of low rank whose product guesses which neurons or heads a token needs.
#ifndef DEJAVU_PASSES_SPARSITY_LOWRANKPREDICTORS_H_
#define DEJAVU_PASSES_SPARSITY_LOWRANKPREDICTORS_H_

#include <optional>
#include <string>
#include <vector>

#include "passes/manager/Pass.h"
#include "passes/sparsity/PredictorPlan.h"

namespace dejavu {

/// What trained predictors come from.
struct TrainedOptions {
  std::string folder;  ///< Of the profile.
  double mass = 0;     ///< The share of each layer's activations that the thresholds keep; 1: neurons stay dense.
  std::optional<double> head_share;  ///< Of the heads of all layers, how many theirs choose; nothing: all are computed.
  /// By layer, instead of `mass`: nothing for layers without such a predictor. Empty: every layer for which it saves.
  std::vector<std::optional<double>> masses = {};
  /// By layer, instead of `head_share`: nothing for layers that compute all heads.
  std::vector<std::optional<double>> head_shares = {};
  /// Instead of thresholds: the share of each layer's neurons that is chosen, those with the largest scores.
  std::optional<double> largest = {};
  /// Of cascades with one mass for all layers: the copy that tests what the predictor lists. It tests all neurons of
  /// layers where the list would save no bytes of it.
  std::optional<CopyOptions> copy = {};

  [[nodiscard]] bool has_heads() const { return head_share || !head_shares.empty(); }
};

struct LowRankOptions {
  int64_t rank = 0;
  /// Of each element of the matrices: 16, 8 or 4. Nothing: as the profile was made for, or else 4.
  std::optional<int64_t> bits;
  std::optional<int64_t> lookahead;    ///< As Lookahead.h says. Nothing: as the profile was made for, or else 1.
  bool oracle = false;                 ///< Of a profile, its oracle's thresholds instead of its predictors.
  bool largest = false;                ///< Choose the largest scores instead of those above a threshold.
  bool by_score = false;               ///< Of made-up predictors: each token chooses by itself.
  std::optional<double> mlp_density;   ///< Nothing: neurons are not predicted.
  std::optional<double> head_density;  ///< The same for heads.
  std::optional<TrainedOptions> trained;
};

/// The options of insert-predictors; a usage error for values without sense.
[[nodiscard]] absl::StatusOr<LowRankOptions> ReadLowRankOptions(const PassContext& context);

/// One layer's attention and MLP.
struct Block {
  Operation* attention = nullptr;
  Operation* mlp = nullptr;
};
/// In order; a user error where an MLP has no attention before it.
[[nodiscard]] absl::StatusOr<std::vector<Block>> FindBlocks(const Function& decode);

/// The weights of a predictor; those that are null are left out. A matrix without scales is f16, with them in 8 or 4
/// bits.
struct PredictorWeights {
  Value* down = nullptr;
  Value* down_scales = nullptr;
  Value* down_bias = nullptr;
  Value* up = nullptr;
  Value* up_scales = nullptr;
  Value* up_bias = nullptr;
};
/// Before `at`, from its input: two stages, or one if `down` is null, and a list of what is positive, or of the `k`
/// largest, of layer `layer`. The list's type is index<symbol>.
[[nodiscard]] absl::Status InsertPredictor(Function& decode, const Operation& at, const PredictorWeights& weights,
                                           int64_t layer, const std::string& symbol, int64_t k);

/// Puts the predictors of options.trained into `decode`, where masses ask for them, or else where they save bytes:
/// other layers stay dense. A user error where the profile is damaged, another model's, or has no thresholds for that
/// mass.
[[nodiscard]] absl::Status InsertTrainedPredictors(Module& module, Function& decode, const LowRankOptions& options,
                                                   PassContext& context);

/// Puts predictors into `decode` that choose fixed shares of the neurons and heads of each layer.
[[nodiscard]] absl::Status InsertLowRankPredictors(Module& module, Function& decode, const LowRankOptions& options,
                                                   PassContext& context);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_LOWRANKPREDICTORS_H_
