// compact: one block passes over all flags, so the numbers come out in their order.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_COMPACT_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_COMPACT_CUH_

#include "Common.cuh"

namespace dejavu {

struct CompactShape {
  int n;
  int threads;
};

/// active index<active> lists the non-zero flags among n, ascending.
template <CompactShape kShape>
__device__ inline void Compact(const void* flags, void* active, const Dims*) {
  constexpr int kWarps = kShape.threads / 32;
  constexpr int kPerThread = 16;
  static_assert(kShape.threads % 32 == 0 && kWarps <= 32);
  __shared__ int counts[kWarps];
  LetNextStart();
  WaitForEarlier();
  const auto* bytes = static_cast<const unsigned char*>(flags);
  int* numbers = static_cast<int*>(active) + kIndexEntries;
  int before = 0;  // flags set in earlier rounds
  for (int begin = 0; begin < kShape.n; begin += kPerThread * kShape.threads) {
    const int first = begin + kPerThread * Thread();
    unsigned set = 0;  // bit i: flag first + i
    if (first + kPerThread <= kShape.n) {
      const uint4 quad = *reinterpret_cast<const uint4*>(bytes + first);
      const unsigned words[4] = {quad.x, quad.y, quad.z, quad.w};
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
        set |= (words[i / 4] >> (i % 4 * 8) & 0xFF) != 0 ? 1U << i : 0;
      }
    } else {
      for (int i = 0; first + i < kShape.n; ++i) {
        set |= bytes[first + i] != 0 ? 1U << i : 0;
      }
    }
    // Sums over the lanes up to this one, then over the warps before this one.
    const int mine = __popc(set);
    int up_to = mine;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const int other = __shfl_up_sync(kAllLanes, up_to, offset);
      up_to += Lane() >= offset ? other : 0;
    }
    __syncthreads();  // the last round's counts were read
    if (Lane() == 31) {
      counts[Warp()] = up_to;
    }
    __syncthreads();
    const int other = Lane() < kWarps ? counts[Lane()] : 0;
    int place = before + SumLanes(Lane() < Warp() ? other : 0) + up_to - mine;
    before += SumLanes(other);
    for (; set != 0; set &= set - 1) {
      numbers[place++] = first + __ffs(static_cast<int>(set)) - 1;
    }
  }
  if (threadIdx.x == 0) {
    *static_cast<int*>(active) = before;
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_COMPACT_CUH_
