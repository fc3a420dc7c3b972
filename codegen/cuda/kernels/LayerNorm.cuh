// layer_norm: one block for each token's row, which it reads once.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_LAYERNORM_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_LAYERNORM_CUH_

#include "Common.cuh"

namespace dejavu {

struct LayerNormShape {
  int tokens;
  int width;
  float epsilon;
  int threads;
};

/// A thread's part of a row. Rows that are too wide for the registers come from the first-level cache every time.
template <LayerNormShape kShape>
class LayerNormRow {
 public:
  static constexpr int kQuads = kShape.width / 4;
  static constexpr int kPerThread = CeilDiv(kQuads, kShape.threads);
  static constexpr bool kKeep = kPerThread <= 4;

  __device__ explicit LayerNormRow(const float* x) : x_(x) {
    if constexpr (kKeep) {
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
        const int quad = Thread() + i * kShape.threads;
        kept_[i] = quad < kQuads ? LoadQuad(x_, 4 * quad) : float4{0, 0, 0, 0};
      }
    }
  }

  /// body(column, value) for each four of them.
  template <typename Body>
  __device__ void ForQuads(Body body) const {
#pragma unroll(kKeep ? kPerThread : 1)
    for (int i = 0; i < kPerThread; ++i) {
      const int quad = Thread() + i * kShape.threads;
      if (quad < kQuads) {
        body(4 * quad, kKeep ? kept_[kKeep ? i : 0] : LoadQuad(x_, 4 * quad));
      }
    }
  }

 private:
  const float* x_;
  float4 kept_[kKeep ? kPerThread : 1];
};

/// y f32<tokens, width> = (x - mean) / sqrt(variance + epsilon) * gamma + beta, variance biased.
template <LayerNormShape kShape>
__device__ inline void LayerNorm(const void* x, const void* gamma, const void* beta, void* y, const Dims* dims) {
  static_assert(kShape.width % 4 == 0 && kShape.threads % 32 == 0);
  constexpr float kWidth = static_cast<float>(kShape.width);
  __shared__ float sums[kShape.threads / 32];
  __shared__ float squares[kShape.threads / 32];
  WaitForEarlier();
  LetNextStart();
  const int tokens = Tokens<kShape.tokens>(dims);
  for (int token = Block(); token < tokens; token += Blocks()) {
    const long long first = static_cast<long long>(token) * kShape.width;
    const LayerNormRow<kShape> row(static_cast<const float*>(x) + first);
    float sum = 0;
    row.ForQuads([&](int, const float4& v) { sum += (v.x + v.y) + (v.z + v.w); });
    const float mean = SumBlock<kShape.threads>(sum, sums) / kWidth;
    float square = 0;
    row.ForQuads([&](int, const float4& v) {
      const float4 d = {v.x - mean, v.y - mean, v.z - mean, v.w - mean};
      square += (d.x * d.x + d.y * d.y) + (d.z * d.z + d.w * d.w);
    });
    const float inverse = 1 / sqrtf(SumBlock<kShape.threads>(square, squares) / kWidth + kShape.epsilon);
    row.ForQuads([&](int column, const float4& v) {
      const float4 g = LoadQuad(gamma, column);
      const float4 b = LoadQuad(beta, column);
      StoreQuad(y, first + column,
                {(v.x - mean) * inverse * g.x + b.x, (v.y - mean) * inverse * g.y + b.y,
                 (v.z - mean) * inverse * g.z + b.z, (v.w - mean) * inverse * g.w + b.w});
    });
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_LAYERNORM_CUH_
