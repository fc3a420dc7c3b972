// compact: the numbers of the flags that are set, by one block.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_COMPACT_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_COMPACT_CUH_

#include "ListWriter.cuh"

namespace dejavu {

struct CompactShape {
  int n;
  int threads;
};

/// active index<active> lists the non-zero flags among n, ascending.
template <CompactShape kShape>
__device__ inline void Compact(const void* flags, const void*, void* active, const Dims*) {
  constexpr int kPerThread = 16;
  WaitForEarlier();
  const auto* bytes = static_cast<const unsigned char*>(flags);
  ListWriter<kShape.threads> writer(active);
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
    writer.Append(first, set);
  }
  writer.Finish();
}

/// active index<active> lists the entries of `among`, a list of some of n, whose flags are not zero.
template <CompactShape kShape>
__device__ inline void CompactAmong(const void* flags, const void* among, void* active, const Dims*) {
  WaitForEarlier();
  const auto* bytes = static_cast<const unsigned char*>(flags);
  const auto* list = static_cast<const int*>(among);
  const int count = LoadCoherent(list);
  ListWriter<kShape.threads> writer(active);
  for (int first = 0; first < count; first += kShape.threads) {
    const int entry = first + Thread();
    const bool has = entry < count;
    const int number = has ? LoadCoherent(list + kIndexEntries + entry) : 0;
    const bool set = has && LoadCoherent(bytes + entry) != 0;
    writer.Append(number, set ? 1U : 0U);
  }
  writer.Finish();
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_COMPACT_CUH_
