// attention of the heads in a list. The keys and values of the others are stored too.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEATTENTION_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEATTENTION_CUH_

#include "Attention.cuh"

namespace dejavu {

/// As Attention for one token, or one of each sequence; columns of y whose head is not listed are not written.
template <AttentionShape kShape>
__device__ inline void SparseAttention(const void* qkv, void* cache, const void* heads, void* y, void* new_cache,
                                       const Dims* dims, const Grid& grid = Grid(), void* scratch = nullptr) {
  static_assert(kShape.tokens == 1 || kShape.batch);
  static_cast<void>(new_cache);
  if constexpr (!kShape.early_list) {
    WaitForEarlier();
  }
  const int count = LoadCoherent(static_cast<const int*>(heads));
  const int* numbers = static_cast<const int*>(heads) + kIndexEntries;
  const auto piece_of = [&](int head, int split) {
    return AttentionHead<kShape>(static_cast<const float*>(qkv), static_cast<float*>(cache), static_cast<float*>(y),
                                 dims, head * kShape.splits + split);
  };
  for (int item = grid.block; item < kShape.tokens * count * kShape.splits; item += grid.blocks) {
    const int entry = item / kShape.splits;
    const int head = entry / count * kShape.heads + LoadCoherent(numbers + entry % count);
    AttentionHead<kShape> piece = piece_of(head, item % kShape.splits);
    if (piece.HasWork()) {
      piece.LoadEarly();
      WaitForEarlier();
      piece.Attend(scratch);
      __syncthreads();
    }
  }
  WaitForEarlier();  // where a block had nothing to do
  for (int head = grid.block; head < kShape.tokens * kShape.heads; head += grid.blocks) {
    int listed = 0;
    for (int i = Thread(); i < count; i += kShape.threads) {
      listed |= LoadCoherent(numbers + i) == head % kShape.heads ? 1 : 0;
    }
    if (__syncthreads_or(listed) == 0) {
      piece_of(head, 0).StoreNew();
    }
  }
}

/// Of one token; the keys and values of heads that are not listed are not stored, and filled i32<1, heads, 1, 1> says
/// afterwards how many each head has.
template <AttentionShape kShape>
__device__ inline void LazyAttention(const void* qkv, void* cache, const void* heads, void* filled, void* y,
                                     void* new_cache, void* new_filled, const Dims* dims, const Grid& grid = Grid(),
                                     void* scratch = nullptr) {
  static_assert(kShape.tokens == 1 && !kShape.batch);
  static_cast<void>(new_cache);
  static_cast<void>(new_filled);
  if constexpr (!kShape.early_list) {
    WaitForEarlier();
  }
  const int count = LoadCoherent(static_cast<const int*>(heads));
  const int* numbers = static_cast<const int*>(heads) + kIndexEntries;
  auto* counts = static_cast<int*>(filled);
  const auto past = static_cast<unsigned>(dims->past);
  for (int item = grid.block; item < count * kShape.splits; item += grid.blocks) {
    const int head = LoadCoherent(numbers + item / kShape.splits);
    AttentionHead<kShape> piece(static_cast<const float*>(qkv), static_cast<float*>(cache), static_cast<float*>(y),
                                dims, head * kShape.splits + item % kShape.splits);
    if (piece.HasWork()) {
      // What a head slept through comes to the cache by the launch ahead. Block 0 may have counted it already: then
      // that launch has ended.
      if (static_cast<unsigned>(LoadCoherent(counts + head)) < past) {
        WaitForEarlier();
      }
      piece.LoadEarly();
      WaitForEarlier();
      piece.Attend(scratch);
      __syncthreads();
    }
  }
  WaitForEarlier();  // where a block had nothing to do
  if (grid.block == 0) {
    for (int head = Thread(); head < kShape.heads; head += kShape.threads) {
      counts[head] = static_cast<int>(min(static_cast<unsigned>(LoadCoherent(counts + head)), past));
    }
    __syncthreads();
    for (int i = Thread(); i < count; i += kShape.threads) {
      counts[LoadCoherent(numbers + i)] = static_cast<int>(past) + 1;
    }
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEATTENTION_CUH_
