// Predictors and what they choose. Predictors are computed in floats, step by step as the kernels do it, so that a
// choice is the same everywhere; see SparseOps.h.
#ifndef DEJAVU_IR_INTERP_PREDICTORMATH_H_
#define DEJAVU_IR_INTERP_PREDICTORMATH_H_

#include <cstdint>
#include <optional>

#include "ir/interp/ModelMath.h"
#include "ir/interp/Tensor.h"

namespace dejavu {

/// x (T, K), q8 (N, K), scales (N); bias (N) may be null.
[[nodiscard]] Tensor QuantizedLinear(const Tensor& x, const Tensor& q8, const Tensor& scales, const Tensor* bias);

/// What sparse.quantized_active reads besides x: copy (N, C), group_scales (N, G), rows (N, 3), and the neurons
/// that it tests, or null.
struct CopyArgs {
  const Tensor* copy = nullptr;
  const Tensor* group_scales = nullptr;
  const Tensor* rows = nullptr;
  const Tensor* among = nullptr;
  int64_t bits = 4;
  int64_t group = 64;
  float margin = 0;
};
/// One flag a neuron, or one for each of `among`, behind which all flags are set: nobody may read those.
[[nodiscard]] Tensor QuantizedFlags(const Tensor& x, const CopyArgs& args);

/// The numbers that any row of the scores (T, N) chooses: those that are positive or NaN, or of the `k` largest.
[[nodiscard]] Tensor Select(const Tensor& scores, std::optional<int64_t> k);

/// q, k and v of x (T, K) and w (3K, K); q is NaN for heads of `all` that `heads` does not list.
[[nodiscard]] Tensor SparseQkv(const Tensor& x, const Tensor& w, const Tensor* bias, const Tensor& heads, int64_t all,
                               const EvalOptions& options);

/// w x + bias + residual over the columns of the listed heads of `all`; bias and residual may be null.
[[nodiscard]] Tensor SparseOut(const LinearArgs& args, const Tensor& heads, int64_t all, const EvalOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_IR_INTERP_PREDICTORMATH_H_
