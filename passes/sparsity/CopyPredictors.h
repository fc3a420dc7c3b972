// Predictors without training: a quantised copy of each fc1 guesses which neurons a token needs.
#ifndef DEJAVU_PASSES_SPARSITY_COPYPREDICTORS_H_
#define DEJAVU_PASSES_SPARSITY_COPYPREDICTORS_H_

#include "passes/manager/Pass.h"

namespace dejavu {

struct CopyOptions {
  int64_t bits = 0;   ///< Of an element of the copy.
  int64_t group = 0;  ///< Columns that share a scale.
  double margin = 0;  ///< In deviations of the copy's error.
};

/// The options of insert-predictors; a usage error for values without sense.
[[nodiscard]] absl::StatusOr<CopyOptions> ReadCopyOptions(const PassContext& context);

/// Puts a sparse.quantized_active before each MLP of `decode`. An MLP whose input is no layer norm's is a user error:
/// the copy's deviation is that for what a layer norm makes.
[[nodiscard]] absl::Status InsertCopyPredictors(Module& module, Function& decode, const CopyOptions& options,
                                                PassContext& context);

/// The bias of an MLP's fc1, or zeros where it has none.
[[nodiscard]] const Weight* BiasOfFc1(Module& module, const Operation& mlp);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_COPYPREDICTORS_H_
