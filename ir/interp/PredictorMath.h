// The arithmetic of predictors. It is float arithmetic, step by step as the kernels do it, so that a choice is the same
// everywhere; see SparseOps.h.
#ifndef DEJAVU_IR_INTERP_PREDICTORMATH_H_
#define DEJAVU_IR_INTERP_PREDICTORMATH_H_

#include <cstdint>
#include <optional>

#include "ir/interp/Tensor.h"

namespace dejavu {

/// x (1, K), q8 (N, K), scales (N); bias (N) may be null.
[[nodiscard]] Tensor QuantizedLinear(const Tensor& x, const Tensor& q8, const Tensor& scales, const Tensor* bias);

/// The numbers of the scores (1, N) that are positive or NaN, or of the `k` largest.
[[nodiscard]] Tensor Select(const Tensor& scores, std::optional<int64_t> k);

}  // namespace dejavu

#endif  // DEJAVU_IR_INTERP_PREDICTORMATH_H_
