// Predictors without training: a quantised copy of each fc1 guesses which neurons a token needs.
#ifndef DEJAVU_PASSES_SPARSITY_COPYPREDICTORS_H_
#define DEJAVU_PASSES_SPARSITY_COPYPREDICTORS_H_

#include "passes/manager/Pass.h"
#include "passes/sparsity/PredictorPlan.h"

namespace dejavu {

/// The options of insert-predictors; a usage error for values without sense.
[[nodiscard]] absl::StatusOr<CopyOptions> ReadCopyOptions(const PassContext& context);

/// Puts a sparse.quantized_active before `mlp` in `decode`, which tests the neurons of the list `among`, or all if that
/// is null. An MLP whose input is no layer norm's is a user error: the
/// copy's deviation is that for what a layer norm makes.
[[nodiscard]] absl::Status InsertCopyPredictor(Module& module, Function& decode, const Operation& mlp,
                                               const CopyOptions& options, Value* among, PassContext& context);

/// The bias of an MLP's fc1, or zeros where it has none.
[[nodiscard]] const Weight* BiasOfFc1(Module& module, const Operation& mlp);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_COPYPREDICTORS_H_
