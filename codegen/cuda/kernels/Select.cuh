// select: the numbers of the positive scores, by one block.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SELECT_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SELECT_CUH_

#include "ListWriter.cuh"

namespace dejavu {

struct SelectShape {
  int n;
  int threads;
};

/// Calls body(first, scores, count) with the eight scores from `first` on of each thread, of which `count` are there;
/// all threads of the block make the same rounds.
template <SelectShape kShape, typename Body>
__device__ inline void ForScores(const float* scores, Body body) {
  constexpr int kPerThread = 8;
  for (int begin = 0; begin < kShape.n; begin += kPerThread * kShape.threads) {
    const int first = begin + kPerThread * Thread();
    float values[kPerThread] = {};
    const int count = min(max(kShape.n - first, 0), kPerThread);
    if (count == kPerThread) {
#pragma unroll
      for (int i = 0; i < kPerThread; i += 4) {
        const float4 quad = LoadQuad(scores, first + i);
        values[i] = quad.x;
        values[i + 1] = quad.y;
        values[i + 2] = quad.z;
        values[i + 3] = quad.w;
      }
    } else {
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
        values[i] = i < count ? LoadCoherent(scores + first + i) : 0;
      }
    }
    body(first, values, count);
  }
}

/// list index<...> of the scores f32<1, n> that are positive or NaN, ascending.
template <SelectShape kShape>
__device__ inline void SelectPositive(const void* scores, void* list, const Dims*) {
  LetNextStart();
  WaitForEarlier();
  ListWriter<kShape.threads> writer(list);
  ForScores<kShape>(static_cast<const float*>(scores), [&](int first, const float* values, int) {
    unsigned chosen = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      chosen |= values[i] <= 0 ? 0 : 1U << i;  // what is not there is 0
    }
    writer.Append(first, chosen);
  });
  writer.Finish();
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SELECT_CUH_
