// The arithmetic that ops of several strata share. Tensors are known, f32 ones hold doubles; see EvalOptions::round.
#ifndef DEJAVU_IR_INTERP_MODELMATH_H_
#define DEJAVU_IR_INTERP_MODELMATH_H_

#include "ir/interp/OnnxEval.h"
#include "ir/interp/Tensor.h"

namespace dejavu {

/// An f32 tensor of zeros.
[[nodiscard]] Tensor FloatTensor(std::vector<int64_t> dims);
/// Rounds every element to f32 if `options` ask for it.
void Round(Tensor& tensor, const EvalOptions& options);

/// (x - mean) / sqrt(variance + epsilon) * gamma + beta for each row of x (T, H); the variance is biased.
[[nodiscard]] Tensor LayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon,
                               const EvalOptions& options);

/// x (T, K), w (N, K) or, transposed, (K, N); bias (N) and residual (T, N) may be null.
/// y = act(x w^T + bias) + residual, each sum from the first column to the last.
struct LinearArgs {
  const Tensor* x = nullptr;
  const Tensor* w = nullptr;
  const Tensor* bias = nullptr;
  const Tensor* residual = nullptr;
  bool relu = false;
  bool transposed = false;
};
[[nodiscard]] Tensor Linear(const LinearArgs& args, const EvalOptions& options);

/// `cache` (2, heads, past, D) with the keys and values in qkv (T, 3H) appended; of a batch, which has `past` (T), a
/// cache (2T, heads, room, D) with those of row t in row past[t] of sequence t, and one row more room.
[[nodiscard]] Tensor AppendToCache(const Tensor& qkv, const Tensor& cache, const Tensor* past = nullptr);
struct AttendArgs {
  double scale = 1;
  const Tensor* heads = nullptr;  ///< A list: the columns of others are NaN.
  const Tensor* past = nullptr;   ///< Of a batch.
};
/// Causal attention of the queries in qkv over `cache`, which already holds their keys and values.
[[nodiscard]] Tensor Attend(const Tensor& qkv, const Tensor& cache, const AttendArgs& args, const EvalOptions& options);

/// One flag a neuron: 0 only where the bound in SparseOps.h says that the ReLU is zero for each row of x.
[[nodiscard]] Tensor CertifiedFlags(const Tensor& x, const Tensor& q8, const Tensor& rows);
/// The numbers of the flags that are not zero.
[[nodiscard]] Tensor Compact(const Tensor& flags);
/// The entries of the list `among` whose flag is not zero.
[[nodiscard]] Tensor Compact(const Tensor& flags, const Tensor& among);
/// (active, T): relu(fc1[i] x + bias[i]) for i in `active`; bias may be null.
[[nodiscard]] Tensor SparseFc1(const Tensor& x, const Tensor& fc1, const Tensor* bias, const Tensor& active,
                               const EvalOptions& options);
/// bias + residual + sum of h[k] fc2[active[k]]; bias and residual may be null.
[[nodiscard]] Tensor SparseFc2(const Tensor& h, const Tensor& active, const Tensor& fc2, const Tensor* bias,
                               const Tensor* residual, const EvalOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_IR_INTERP_MODELMATH_H_
