// Writes an index list: one block passes over all elements, so the numbers come out in their order.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_LISTWRITER_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_LISTWRITER_CUH_

#include "Common.cuh"

namespace dejavu {

/// The sum of the values of the threads before this one, and in `all` that of all threads. The block calls it together.
template <int kThreads>
__device__ inline int SumOfThreadsBefore(int mine, int& all) {
  constexpr int kWarps = kThreads / 32;
  static_assert(kThreads % 32 == 0 && kWarps <= 32);
  __shared__ int sums[kWarps];
  // Sums over the lanes up to this one, then over the warps before this one.
  int up_to = mine;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const int other = __shfl_up_sync(kAllLanes, up_to, offset);
    up_to += Lane() >= offset ? other : 0;
  }
  __syncthreads();  // the last call's sums were read
  if (Lane() == 31) {
    sums[Warp()] = up_to;
  }
  __syncthreads();
  const int other = Lane() < kWarps ? sums[Lane()] : 0;
  all = SumLanes(other);
  return SumLanes(Lane() < Warp() ? other : 0) + up_to - mine;
}

/// All threads of the block call Append() together, each with elements that follow those of the thread before.
template <int kThreads>
class ListWriter {
 public:
  __device__ explicit ListWriter(void* list)
      : count_(static_cast<int*>(list)), numbers_(static_cast<int*>(list) + kIndexEntries), before_(0) {}

  /// Appends first + i for each bit i of `chosen`.
  __device__ void Append(int first, unsigned chosen) {
    int all = 0;
    int place = before_ + SumOfThreadsBefore<kThreads>(__popc(chosen), all);
    before_ += all;
    for (; chosen != 0; chosen &= chosen - 1) {
      numbers_[place++] = first + __ffs(static_cast<int>(chosen)) - 1;
    }
  }

  __device__ void Finish() const {
    if (threadIdx.x == 0) {
      *count_ = before_;
    }
  }

 private:
  int* count_;
  int* numbers_;
  int before_;  // numbers of earlier rounds
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_LISTWRITER_CUH_
