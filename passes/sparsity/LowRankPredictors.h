// The predictors of the paper: two matrices of low rank whose product guesses which neurons or heads a token needs.
#ifndef DEJAVU_PASSES_SPARSITY_LOWRANKPREDICTORS_H_
#define DEJAVU_PASSES_SPARSITY_LOWRANKPREDICTORS_H_

#include <optional>

#include "passes/manager/Pass.h"

namespace dejavu {

struct LowRankOptions {
  int64_t rank = 0;
  int64_t lookahead = 0;               ///< 1: one block ahead; 0: from the input of the block itself.
  bool largest = false;                ///< Choose the largest scores instead of those above a threshold.
  bool by_score = false;               ///< Of made-up predictors: each token chooses by itself.
  std::optional<double> mlp_density;   ///< Nothing: neurons are not predicted.
  std::optional<double> head_density;  ///< The same for heads.
};

/// The options of insert-predictors; a usage error for values without sense.
[[nodiscard]] absl::StatusOr<LowRankOptions> ReadLowRankOptions(const PassContext& context);

/// Puts predictors into `decode` that choose fixed shares of the neurons and heads of each layer.
[[nodiscard]] absl::Status InsertLowRankPredictors(Module& module, Function& decode, const LowRankOptions& options,
                                                   PassContext& context);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_LOWRANKPREDICTORS_H_
