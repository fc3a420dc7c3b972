// The vector that a one-token kernel multiplies: x, or its layer norm, which every block computes for itself.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_INPUT_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_INPUT_CUH_

#include "Common.cuh"

namespace dejavu {

struct Norm {
  bool on;
  float epsilon;
};

/// x f32<kWidth>, of which a block's threads read quads. They create it together.
template <int kWidth, Norm kNorm, int kThreads>
class Input {
 public:
  __device__ Input(const void* x, const void* gamma, const void* beta)
      : x_(static_cast<const float*>(x)), gamma_(gamma), beta_(beta) {
    if constexpr (kNorm.on) {
      __shared__ float sums[kThreads / 32];
      __shared__ float squares[kThreads / 32];
      float sum = 0;
      for (int quad = Thread(); quad < kWidth / 4; quad += kThreads) {
        const float4 v = LoadQuad(x_, 4 * quad);
        sum += (v.x + v.y) + (v.z + v.w);
      }
      mean_ = SumBlock<kThreads>(sum, sums) / kWidth;
      float square = 0;
      for (int quad = Thread(); quad < kWidth / 4; quad += kThreads) {
        const float4 v = LoadQuad(x_, 4 * quad);
        const float4 d = {v.x - mean_, v.y - mean_, v.z - mean_, v.w - mean_};
        square += (d.x * d.x + d.y * d.y) + (d.z * d.z + d.w * d.w);
      }
      inverse_ = 1 / sqrtf(SumBlock<kThreads>(square, squares) / kWidth + kNorm.epsilon);
    }
  }

  /// Elements [column, column + 4).
  __device__ float4 Quad(int column) const {
    const float4 v = LoadQuad(x_, column);
    if constexpr (!kNorm.on) {
      return v;
    }
    const float4 g = LoadQuad(gamma_, column);
    const float4 b = LoadQuad(beta_, column);
    return {(v.x - mean_) * inverse_ * g.x + b.x, (v.y - mean_) * inverse_ * g.y + b.y,
            (v.z - mean_) * inverse_ * g.z + b.z, (v.w - mean_) * inverse_ * g.w + b.w};
  }

 private:
  const float* x_;
  const void* gamma_;
  const void* beta_;
  float mean_ = 0;
  float inverse_ = 1;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_INPUT_CUH_
