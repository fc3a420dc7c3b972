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

/// A thread's part of a row. Rows that are too wide for the registers are loaded every time.
template <LayerNormShape kShape>
class LayerNormRow {
 public:
  static constexpr int kQuads = kShape.width / 4;
  static constexpr int kPerThread = CeilDiv(kQuads, kShape.threads);
  static constexpr bool kKeep = kPerThread <= 8;

  __device__ explicit LayerNormRow(const float* x) : x_(x) {
    if constexpr (kKeep) {
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
        kept_[i] = Quad(i) < kQuads ? LoadQuad(x_, 4 * Quad(i)) : float4{0, 0, 0, 0};
      }
    }
  }

  __device__ static int Quad(int i) { return Thread() + i * kShape.threads; }

  /// body(i, column, value) for each four of them.
  template <typename Body>
  __device__ void ForQuads(Body body) const {
#pragma unroll(kKeep ? kPerThread : 1)
    for (int i = 0; i < kPerThread; ++i) {
      if (Quad(i) < kQuads) {
        body(i, 4 * Quad(i), kKeep ? kept_[kKeep ? i : 0] : LoadQuad(x_, 4 * Quad(i)));
      }
    }
  }

 private:
  const float* x_;
  float4 kept_[kKeep ? kPerThread : 1];
};

/// gamma and beta of a thread's columns. They are weights, so they are there before x is known: in registers, or where
/// rows are too wide for that, in the second-level cache.
template <LayerNormShape kShape>
class LayerNormAffine {
 public:
  using Row = LayerNormRow<kShape>;
  static constexpr bool kKeep = Row::kPerThread <= 2;

  __device__ LayerNormAffine(const void* gamma, const void* beta) : gamma_(gamma), beta_(beta) {
#pragma unroll(kKeep ? Row::kPerThread : 1)
    for (int i = 0; i < Row::kPerThread; ++i) {
      const int column = 4 * Row::Quad(i);
      if (column >= kShape.width) {
        break;
      }
      if constexpr (kKeep) {
        kept_gamma_[i] = LoadQuad(gamma_, column);
        kept_beta_[i] = LoadQuad(beta_, column);
      } else {
        PrefetchLine(static_cast<const float*>(gamma_) + column);
        PrefetchLine(static_cast<const float*>(beta_) + column);
      }
    }
  }

  __device__ float4 Gamma(int i, int column) const {
    return kKeep ? kept_gamma_[kKeep ? i : 0] : LoadQuad(gamma_, column);
  }
  __device__ float4 Beta(int i, int column) const {
    return kKeep ? kept_beta_[kKeep ? i : 0] : LoadQuad(beta_, column);
  }

 private:
  const void* gamma_;
  const void* beta_;
  float4 kept_gamma_[kKeep ? Row::kPerThread : 1];
  float4 kept_beta_[kKeep ? Row::kPerThread : 1];
};

/// y f32<tokens, width> = (x - mean) / sqrt(variance + epsilon) * gamma + beta, variance biased.
template <LayerNormShape kShape>
__device__ inline void LayerNorm(const void* x, const void* gamma, const void* beta, void* y, const Dims* dims) {
  static_assert(kShape.width % 4 == 0 && kShape.threads % 32 == 0);
  constexpr float kWidth = static_cast<float>(kShape.width);
  __shared__ float sums[kShape.threads / 32];
  __shared__ float squares[kShape.threads / 32];
  const LayerNormAffine<kShape> affine(gamma, beta);
  const int tokens = Tokens<kShape.tokens>(dims);
  WaitForEarlier();
  for (int token = Block(); token < tokens; token += Blocks()) {
    const long long first = static_cast<long long>(token) * kShape.width;
    const LayerNormRow<kShape> row(static_cast<const float*>(x) + first);
    float sum = 0;
    row.ForQuads([&](int, int, const float4& v) { sum += (v.x + v.y) + (v.z + v.w); });
    const float mean = SumBlock<kShape.threads>(sum, sums) / kWidth;
    float square = 0;
    row.ForQuads([&](int, int, const float4& v) {
      const float4 d = {v.x - mean, v.y - mean, v.z - mean, v.w - mean};
      square += (d.x * d.x + d.y * d.y) + (d.z * d.z + d.w * d.w);
    });
    const float inverse = 1 / sqrtf(SumBlock<kShape.threads>(square, squares) / kWidth + kShape.epsilon);
    row.ForQuads([&](int i, int column, const float4& v) {
      const float4 g = affine.Gamma(i, column);
      const float4 b = affine.Beta(i, column);
      StoreQuad(y, first + column,
                {(v.x - mean) * inverse * g.x + b.x, (v.y - mean) * inverse * g.y + b.y,
                 (v.z - mean) * inverse * g.z + b.z, (v.w - mean) * inverse * g.w + b.w});
    });
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_LAYERNORM_CUH_
