// linear: at batch 1 nothing but the speed of memory counts; each weight is read once.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_LINEAR_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_LINEAR_CUH_

#include "FloatGemv.cuh"

namespace dejavu {

struct LinearShape {
  int tokens;
  int n;
  int k;
  DType dtype;
  bool bias;
  bool residual;
  bool relu;
  Norm norm;
  GemvTiling tiling;
};

/// y f32<tokens, n> = act(w<n, k> x + bias) + residual, x normalised first where the shape says so. `others` as in
/// MultiplyFloats().
template <LinearShape kShape, typename Others = NoOthers>
__device__ inline void Linear(const void* x, const void* w, const void* bias, const void* residual, const void* gamma,
                              const void* beta, void* y, const Dims* dims, const Others& others = Others()) {
  static_assert(kShape.tiling.slots == 0 || kShape.tokens == 1, "a ring is made once");
  const MatrixRows<kShape.k * Bytes(kShape.dtype)> rows = {w, kShape.n};
  const int tokens = Tokens<kShape.tokens>(dims);
  for (int token = 0; token < tokens; ++token) {
    const FloatVector vector = {static_cast<const float*>(x) + static_cast<long long>(token) * kShape.k, gamma, beta};
    const long long y_row = static_cast<long long>(token) * kShape.n;
    struct Early {
      float inside;   // added before act
      float outside;  // added after it
    };
    const auto prepare = [&](int row) {
      const float added = kShape.bias ? static_cast<const float*>(bias)[row] : 0;
      const float kept = kShape.residual ? LoadCoherent(static_cast<const float*>(residual) + y_row + row) : 0;
      return kShape.relu ? Early{added, kept} : Early{0, added + kept};
    };
    const auto finish = [&](int row, float sum, const Early& early) {
      sum = kShape.relu ? Relu(sum + early.inside) : sum;
      static_cast<float*>(y)[y_row + row] = sum + early.outside;
    };
    MultiplyFloats<FloatMath<kShape.dtype>, kShape.k, kShape.norm, kShape.tiling>(rows, vector, prepare, finish,
                                                                                  others);
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_LINEAR_CUH_
