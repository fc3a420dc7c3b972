// Lists made from what fc1 really gives. They save nothing, as all of fc1 is read for them: they show what the best
// predictor could reach with the shipped kernels.
#ifndef DEJAVU_PASSES_SPARSITY_ORACLEPREDICTORS_H_
#define DEJAVU_PASSES_SPARSITY_ORACLEPREDICTORS_H_

#include "passes/manager/Pass.h"

namespace dejavu {

/// Before `mlp`, of layer `layer`, from its own input: x fc1^T + bias, and a list of what is positive. With fc1's own
/// bias, or null where it has none, those are the active neurons; a lower one leaves out the least of them.
[[nodiscard]] absl::Status InsertOracle(Function& decode, const Operation& mlp, Value* bias, int64_t layer,
                                        PassContext& context);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_ORACLEPREDICTORS_H_
