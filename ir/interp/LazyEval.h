// The ops whose heads get their keys and values when they wake. See sparse.lazy_attention in ir/ops/SparseOps.h.
#ifndef DEJAVU_IR_INTERP_LAZYEVAL_H_
#define DEJAVU_IR_INTERP_LAZYEVAL_H_

#include <vector>

#include "absl/types/span.h"
#include "ir/base/Status.h"
#include "ir/core/Operation.h"
#include "ir/interp/ModelEval.h"

namespace dejavu {

/// As ModelEvalFn. What a head does not have is NaN.
absl::StatusOr<std::vector<Tensor>> EvalLazyAttention(const Operation& op, absl::Span<const Tensor* const> in,
                                                      const EvalOptions& options);
absl::StatusOr<std::vector<Tensor>> EvalLaunchLazyQkv(const Operation& op, absl::Span<const Tensor* const> in,
                                                      const EvalOptions& options);
absl::StatusOr<std::vector<Tensor>> EvalLaunchLazyAttention(const Operation& op, absl::Span<const Tensor* const> in,
                                                            const EvalOptions& options);
absl::StatusOr<std::vector<Tensor>> EvalKeepInputs(const Operation& op, absl::Span<const Tensor* const> in,
                                                   const EvalOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_IR_INTERP_LAZYEVAL_H_
