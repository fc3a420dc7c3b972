// sparse_fc2: the rows of a list, each times its h, added up. A warp owns a tile of columns, one load wide; the warps
// of a block, and several blocks for each tile, share the rows. The last block of a tile adds up the blocks' sums in
// their order, so the result does not depend on which block is last.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2_CUH_

#include "Common.cuh"

namespace dejavu {

struct SparseFc2Shape {
  int width;
  DType dtype;
  bool residual;
  int threads;
  int splits;  ///< Blocks for each tile at most; scratch has room for their sums.
};

/// An entry of the list whose h is not zero.
struct PositiveEntry {
  int neuron;
  float h;
};

/// Moves this round's positive entries of [begin, end) to `list`, one per thread, in order; returns their number.
template <int kThreads>
__device__ inline int CollectPositives(const int* numbers, const float* h, int begin, int end, PositiveEntry* list) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int counts[kWarps];
  const int i = begin + Thread();
  PositiveEntry entry = {0, 0};
  if (i < end) {
    entry = {LoadCoherent(numbers + i), LoadCoherent(h + i)};
  }
  const unsigned positives = __ballot_sync(kAllLanes, entry.h != 0);
  if (Lane() == 0) {
    counts[Warp()] = __popc(positives);
  }
  __syncthreads();
  int before = 0;
  int all = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    before += warp < Warp() ? counts[warp] : 0;
    all += counts[warp];
  }
  if (entry.h != 0) {
    list[before + __popc(positives & ((1U << Lane()) - 1))] = entry;
  }
  __syncthreads();
  return all;
}

/// y f32<1, width> = bias + residual + sum of h[i] * fc2t<n, width>[active[i]].
template <SparseFc2Shape kShape>
__device__ inline void SparseFc2(const void* h, const void* active, const void* fc2t, const void* bias,
                                 const void* residual, void* y, const Dims*, const Grid& grid = Grid(),
                                 void* scratch = nullptr) {
  constexpr int kThreads = kShape.threads;
  constexpr int kWarps = kThreads / 32;
  constexpr int kLoad = PerLoad(kShape.dtype);
  constexpr int kTile = 32 * kLoad;
  constexpr int kTiles = CeilDiv(kShape.width, kTile);
  constexpr int kUnroll = 4;
  static_assert(kShape.width % kLoad == 0 && kThreads % 32 == 0 && kTile <= kThreads);
  static_assert(kTiles * 4 <= kScratchCounterBytes);
  __shared__ PositiveEntry list[kThreads];
  __shared__ float sums_of_warps[kWarps][kTile];
  WaitForEarlier();
  auto* counters = static_cast<unsigned*>(scratch);
  auto* partial = reinterpret_cast<float*>(static_cast<char*>(scratch) + kScratchCounterBytes);
  const int count = LoadCoherent(static_cast<const int*>(active));
  const int* numbers = static_cast<const int*>(active) + kIndexEntries;
  const int splits = max(1, min(grid.blocks / kTiles, kShape.splits));
  for (int item = grid.block; item < kTiles * splits; item += grid.blocks) {
    const int tile = item % kTiles;
    const int split = item / kTiles;
    const int begin = static_cast<int>(static_cast<long long>(count) * split / splits);
    const int end = static_cast<int>(static_cast<long long>(count) * (split + 1) / splits);
    const int column = tile * kTile + Lane() * kLoad;
    float sums[kLoad] = {};
    for (int first = begin; first < end; first += kThreads) {
      const int positives = CollectPositives<kThreads>(numbers, static_cast<const float*>(h), first, end, list);
      for (int i = Warp(); i < positives && column < kShape.width; i += kWarps * kUnroll) {
        uint4 rows[kUnroll];
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
          if (i + u * kWarps < positives) {
            const long long row = list[i + u * kWarps].neuron;
            LoadWeights(static_cast<const char*>(fc2t) + (row * kShape.width + column) * Bytes(kShape.dtype), rows[u]);
          }
        }
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
          if (i + u * kWarps < positives) {
            float values[kLoad];
            Widen<kShape.dtype>(rows[u], values);
#pragma unroll
            for (int j = 0; j < kLoad; ++j) {
              sums[j] = fmaf(list[i + u * kWarps].h, values[j], sums[j]);
            }
          }
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int j = 0; j < kLoad; ++j) {
      sums_of_warps[Warp()][Lane() * kLoad + j] = sums[j];
    }
    __syncthreads();
    // From here on a thread has one column.
    const int mine = tile * kTile + Thread();
    const bool owns = threadIdx.x < kTile && mine < kShape.width;
    float sum = 0;
    if (owns) {
#pragma unroll
      for (int warp = 0; warp < kWarps; ++warp) {
        sum += sums_of_warps[warp][threadIdx.x];
      }
    }
    bool stores = owns;
    if (kShape.splits > 1 && splits > 1) {
      if (owns) {
        partial[static_cast<long long>(split) * kShape.width + mine] = sum;
      }
      stores = IsLastBlock(counters + tile, splits, kThreads) && owns;
      if (stores) {
        sum = 0;
        for (int s = 0; s < splits; ++s) {
          sum += LoadCoherent(partial + static_cast<long long>(s) * kShape.width + mine);
        }
      }
    }
    if (stores) {
      const float start = static_cast<const float*>(bias)[mine] +
                          (kShape.residual ? LoadCoherent(static_cast<const float*>(residual) + mine) : 0);
      static_cast<float*>(y)[mine] = start + sum;
    }
    __syncthreads();
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2_CUH_
