// Writes an index list: one block passes over all elements, so the numbers come out in their order.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_LISTWRITER_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_LISTWRITER_CUH_

#include "Common.cuh"

namespace dejavu {

/// Replaces each value by the sum of those before it, in the order of their rounds and then of threads; returns the sum
/// of all. The block calls it together.
template <int kThreads, int kRounds>
__device__ inline int SumsBefore(int (&values)[kRounds]) {
  constexpr int kWarps = kThreads / 32;
  static_assert(kThreads % 32 == 0 && kWarps <= 32);
  __shared__ int sums[kRounds][kWarps];
  __syncthreads();  // the last call's sums were read
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
    const int mine = values[round];
    int up_to = mine;  // over the lanes up to this one
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const int other = __shfl_up_sync(kAllLanes, up_to, offset);
      up_to += Lane() >= offset ? other : 0;
    }
    if (Lane() == 31) {
      sums[round][Warp()] = up_to;
    }
    values[round] = up_to - mine;
  }
  __syncthreads();
  int all = 0;
#pragma unroll
  for (int round = 0; round < kRounds; ++round) {
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      values[round] += warp == Warp() ? all : 0;
      all += sums[round][warp];
    }
  }
  return all;
}

/// The sum of the values of the threads before this one, and in `all` that of all threads.
template <int kThreads>
__device__ inline int SumOfThreadsBefore(int mine, int& all) {
  int values[1] = {mine};
  all = SumsBefore<kThreads>(values);
  return values[0];
}

/// All threads of the block call Append() together, each with elements that follow those of the thread before.
template <int kThreads>
class ListWriter {
 public:
  __device__ explicit ListWriter(void* list)
      : count_(static_cast<int*>(list)), numbers_(static_cast<int*>(list) + kIndexEntries), before_(0) {}

  /// Appends first + i for each bit i of `chosen`.
  __device__ void Append(int first, unsigned chosen) {
    const unsigned rounds[1] = {chosen};
    Append(first, 0, rounds);
  }

  /// Appends first + stride r + i for each bit i of chosen[r], those of all threads' chosen[0] first.
  template <int kRounds>
  __device__ void Append(int first, int stride, const unsigned (&chosen)[kRounds]) {
    int places[kRounds];
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      places[round] = __popc(chosen[round]);
    }
    const int all = SumsBefore<kThreads>(places);
#pragma unroll
    for (int round = 0; round < kRounds; ++round) {
      int* place = numbers_ + before_ + places[round];
      for (unsigned rest = chosen[round]; rest != 0; rest &= rest - 1) {
        *place++ = first + stride * round + __ffs(static_cast<int>(rest)) - 1;
      }
    }
    before_ += all;
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
