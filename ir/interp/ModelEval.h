// What model, sparse and sched ops compute.
#ifndef DEJAVU_IR_INTERP_MODELEVAL_H_
#define DEJAVU_IR_INTERP_MODELEVAL_H_

#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "ir/core/Operation.h"
#include "ir/interp/OnnxEval.h"
#include "ir/interp/Tensor.h"

namespace dejavu {

/// Like OnnxEvalFn, for the ops of the other strata. All inputs must be known. A launch computes exactly what the ops
/// it stands for compute, in the same order, so that without rounding a schedule pass keeps every bit.
using ModelEvalFn = absl::StatusOr<std::vector<Tensor>> (*)(const Operation& op, absl::Span<const Tensor* const> inputs,
                                                            const EvalOptions& options);

/// The function of the op called `name`, or null.
[[nodiscard]] ModelEvalFn FindModelEval(std::string_view name);

}  // namespace dejavu

#endif  // DEJAVU_IR_INTERP_MODELEVAL_H_
