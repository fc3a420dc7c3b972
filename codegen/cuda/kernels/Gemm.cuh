// What the runtime calls around the matrix products of prefill, which are the vendor's library's. No launches of a
// plan.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_GEMM_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_GEMM_CUH_

#include "Common.cuh"

namespace dejavu {

/// The bits of x in a narrow type. A finite number beyond the halves becomes the largest of them: an infinity would
/// make NaNs of everything that follows.
template <DType kType>
__device__ inline unsigned Narrow(float x) {
  static_assert(kType != DType::kF32);
  if constexpr (kType == DType::kBF16) {
    return NarrowToBFloat16(x);
  } else {
    constexpr float kLargest = 65504;
    const bool finite = fabsf(x) <= 3.402823466e+38F;
    return NarrowToHalf(finite ? fminf(fmaxf(x, -kLargest), kLargest) : x);
  }
}

/// y = x in the narrow type; `count` is a multiple of 8.
template <DType kType>
__device__ inline void RoundTo(const void* x, void* y, long long count) {
  WaitForEarlier();
  const GridShare share = ShareOfGrid();
  for (long long i = share.begin; i < count / 8; i += share.step) {
    const float4 a = LoadQuad(x, 8 * i);
    const float4 b = LoadQuad(x, 8 * i + 4);
    static_cast<uint4*>(y)[i] = {
        Narrow<kType>(a.x) | Narrow<kType>(a.y) << 16, Narrow<kType>(a.z) | Narrow<kType>(a.w) << 16,
        Narrow<kType>(b.x) | Narrow<kType>(b.y) << 16, Narrow<kType>(b.z) | Narrow<kType>(b.w) << 16};
  }
}

/// y f32<count / n, n> = act(y + bias): for where the library's product can't do it. `bias` may be null.
__device__ inline void FinishProduct(const void* bias, void* y, long long n, long long count, long long relu) {
  WaitForEarlier();
  const GridShare share = ShareOfGrid();
  auto* values = static_cast<float*>(y);
  for (long long i = share.begin; i < count; i += share.step) {
    const float value = values[i] + (bias != nullptr ? static_cast<const float*>(bias)[i % n] : 0);
    values[i] = relu != 0 ? Relu(value) : value;
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_GEMM_CUH_
