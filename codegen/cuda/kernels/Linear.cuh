// linear: at batch 1 nothing but the speed of memory counts; each weight is read once.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_LINEAR_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_LINEAR_CUH_

#include "Gemv.cuh"
#include "RingGemv.cuh"

namespace dejavu {

struct LinearShape {
  int tokens;
  int n;
  int k;
  DType dtype;
  bool bias;
  bool residual;
  bool relu;
  GemvTiling tiling;
  RingTiling ring;  ///< Used for one token, on devices that copy in bulk.
};

/// What becomes of a row's sum.
template <LinearShape kShape>
struct LinearOutput {
  struct Early {
    float inside;   // added before act
    float outside;  // added after it
  };

  const float* bias;
  const float* residual;
  float* y;

  __device__ Early Prepare(int row) const {
    const float added = kShape.bias ? bias[row] : 0;
    const float kept = kShape.residual ? LoadCoherent(residual + row) : 0;
    return kShape.relu ? Early{added, kept} : Early{0, added + kept};
  }

  __device__ void Finish(int row, float sum, const Early& early) const {
    y[row] = (kShape.relu ? Relu(sum + early.inside) : sum) + early.outside;
  }
};

template <LinearShape kShape>
__device__ inline void LinearByRing(const float* x, const void* w, const LinearOutput<kShape>& output) {
  static_assert(kShape.tokens == 1);
  RingGemv<kShape.dtype, kShape.k, kShape.ring> ring(kShape.n);
  if (ring.IsCopying()) {
    ring.Copy(w);
    return;
  }
  WaitForEarlier();
  LetNextStart();
  ring.Multiply(
      x, [&](int row) { return output.Prepare(row); },
      [&](int row, float sum, const typename LinearOutput<kShape>::Early& early) { output.Finish(row, sum, early); });
}

template <LinearShape kShape>
__device__ inline void LinearByLoads(const float* x, const void* w, LinearOutput<kShape> output, const Dims* dims) {
  using Math = FloatMath<kShape.dtype>;
  const auto row_at = [&](int row) {
    return static_cast<const char*>(w) + static_cast<long long>(row) * kShape.k * Bytes(kShape.dtype);
  };
  Gemv<Math, kShape.k, kShape.tiling> gemv;
  gemv.Start(kShape.n, row_at);
  WaitForEarlier();
  LetNextStart();
  const int tokens = Tokens<kShape.tokens>(dims);
  for (int token = 0; token < tokens; ++token) {
    if (token > 0) {
      gemv.Start(kShape.n, row_at);
      x += kShape.k;
      output.residual += kShape.residual ? kShape.n : 0;
      output.y += kShape.n;
    }
    const auto stage = [&](int begin, int count) {
      __syncthreads();
      Math::template Stage<kShape.tiling.threads>(x + begin, count);
      __syncthreads();
    };
    gemv.Run(
        kShape.n, row_at, stage, [&](int row) { return output.Prepare(row); },
        [&](int row, float sum, const typename LinearOutput<kShape>::Early& early) { output.Finish(row, sum, early); });
  }
}

/// y f32<tokens, n> = act(w<n, k> x + bias) + residual.
template <LinearShape kShape>
__device__ inline void Linear(const void* x, const void* w, const void* bias, const void* residual, void* y,
                              const Dims* dims) {
  const LinearOutput<kShape> output = {static_cast<const float*>(bias), static_cast<const float*>(residual),
                                       static_cast<float*>(y)};
  if constexpr (kHasBulkCopies && kShape.ring.threads > 0) {
    LinearByRing(static_cast<const float*>(x), w, output);
  } else {
    LinearByLoads(static_cast<const float*>(x), w, output, dims);
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_LINEAR_CUH_
