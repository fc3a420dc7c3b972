// quantized_linear: a stage of a predictor, int8 rows times a vector that is rounded to int16 as in certified_test.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_

#include "CertifiedTest.cuh"

namespace dejavu {

struct QuantizedLinearShape {
  int n;
  int k;
  bool bias;
  Norm norm;
  GemvTiling tiling;
};

/// What x was rounded with: x ~ up step n. If an x is not finite, the step is NaN.
struct Rounding {
  float step;
  float up;

  template <int kWidth>
  __device__ static Rounding Of(const Quantizer<kWidth>& quantizer) {
    const float nan = __uint_as_float(0x7FC00000);
    return {quantizer.step() < __uint_as_float(0x7F800000) ? quantizer.step() : nan, quantizer.up()};
  }
};

/// y f32<1, n> = ((scales step) (q8 i8<n, k> . n)) up + bias, every operation rounded once; x normalised first where
/// the shape says so.
template <QuantizedLinearShape kShape>
__device__ inline void QuantizedLinear(const void* x, const void* q8, const void* scales, const void* bias,
                                       const void* gamma, const void* beta, void* y, const Dims*) {
  using Math = Int8Math<kShape.k>;
  const MatrixRows<kShape.k> row_at = {q8, kShape.n};
  struct Early {
    float scale;
    float bias;
  };
  const auto prepare = [&](int row) {
    return Early{static_cast<const float*>(scales)[row], kShape.bias ? static_cast<const float*>(bias)[row] : 0};
  };
  static_assert(kShape.tiling.slots == 0, "predictors leave the rings to attention");
  Gemv<Math, kShape.k, kShape.tiling> gemv;
  static_assert(decltype(gemv)::kChunks == 1, "shared memory holds all of x");
  gemv.Start(kShape.n, row_at);
  WaitForEarlier();
  const Input<kShape.k, kShape.norm, kShape.tiling.threads> normed(x, gamma, beta);
  const Rounding rounding = Rounding::Of(QuantizeToPlanes<kShape.k, kShape.tiling.threads>(normed));
  const auto stage = [](int, int) { __syncthreads(); };
  const auto finish = [&](int row, unsigned dot, const Early& early) {
    const float scale = __fmul_rn(early.scale, rounding.step);
    const float scaled = __fmul_rn(__fmul_rn(scale, static_cast<float>(static_cast<int>(dot))), rounding.up);
    static_cast<float*>(y)[row] = kShape.bias ? __fadd_rn(scaled, early.bias) : scaled;
  };
  gemv.Run(kShape.n, row_at, stage, prepare, finish);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_
