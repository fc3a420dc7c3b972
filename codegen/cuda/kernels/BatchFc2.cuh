// sparse_fc2 for a token of each of several sequences: as SparseFc2.cuh, but each row is multiplied by as many h.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_BATCHFC2_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_BATCHFC2_CUH_

#include "Common.cuh"

namespace dejavu {

struct BatchFc2Shape {
  int vectors;
  int width;
  DType dtype;
  bool residual;
  int threads;
  int splits;  ///< Blocks for each tile at most; scratch has room for their sums.
};

/// Entries of the list with an h that is not zero.
template <int kVectors, int kThreads>
struct PositiveRows {
  int neurons[kThreads];
  float h[kThreads][kVectors];
};

/// Moves this round's positive entries of [begin, end) to `list`, one per thread, in order; returns their number.
template <int kVectors, int kThreads>
__device__ inline int CollectPositiveRows(const int* numbers, const float* h, int begin, int end,
                                          PositiveRows<kVectors, kThreads>& list) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int counts[kWarps];
  const int i = begin + Thread();
  int neuron = 0;
  float mine[kVectors] = {};
  bool is_positive = false;
  if (i < end) {
    neuron = LoadCoherent(numbers + i);
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      mine[v] = LoadCoherent(h + static_cast<long long>(i) * kVectors + v);
      is_positive = is_positive || mine[v] != 0;
    }
  }
  const unsigned positives = __ballot_sync(kAllLanes, is_positive);
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
  if (is_positive) {
    const int place = before + __popc(positives & ((1U << Lane()) - 1));
    list.neurons[place] = neuron;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      list.h[place][v] = mine[v];
    }
  }
  __syncthreads();
  return all;
}

/// y f32<vectors, width> = bias + residual + sum of h<active, vectors>[i] * fc2t<n, width>[active[i]].
template <BatchFc2Shape kShape>
__device__ inline void BatchFc2(const void* h, const void* active, const void* fc2t, const void* bias,
                                const void* residual, void* y, const Dims*, const Grid& grid = Grid(),
                                void* scratch = nullptr) {
  constexpr int kThreads = kShape.threads;
  constexpr int kVectors = kShape.vectors;
  constexpr int kWarps = kThreads / 32;
  constexpr int kLoad = PerLoad(kShape.dtype);
  constexpr int kTile = 32 * kLoad;
  constexpr int kTiles = CeilDiv(kShape.width, kTile);
  constexpr int kUnroll = 4;
  static_assert(kShape.width % kLoad == 0 && kThreads % 32 == 0 && kTile <= kThreads);
  static_assert(kTiles * 4 <= kScratchCounterBytes);
  __shared__ PositiveRows<kVectors, kThreads> list;
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
    float sums[kVectors][kLoad] = {};
    for (int first = begin; first < end; first += kThreads) {
      const int positives = CollectPositiveRows(numbers, static_cast<const float*>(h), first, end, list);
      for (int i = Warp(); i < positives && column < kShape.width; i += kWarps * kUnroll) {
        uint4 rows[kUnroll];
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
          if (i + u * kWarps < positives) {
            const long long row = list.neurons[i + u * kWarps];
            LoadWeights(static_cast<const char*>(fc2t) + (row * kShape.width + column) * Bytes(kShape.dtype), rows[u]);
          }
        }
#pragma unroll
        for (int u = 0; u < kUnroll; ++u) {
          if (i + u * kWarps < positives) {
            float values[kLoad];
            Widen<kShape.dtype>(rows[u], values);
#pragma unroll
            for (int v = 0; v < kVectors; ++v) {
              const float factor = list.h[i + u * kWarps][v];
#pragma unroll
              for (int j = 0; j < kLoad; ++j) {
                sums[v][j] = fmaf(factor, values[j], sums[v][j]);
              }
            }
          }
        }
      }
      __syncthreads();
    }
    // From here on a thread has one column.
    const int mine = tile * kTile + Thread();
    const bool owns = threadIdx.x < kTile && mine < kShape.width;
    float sum[kVectors] = {};
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int j = 0; j < kLoad; ++j) {
        sums_of_warps[Warp()][Lane() * kLoad + j] = sums[v][j];
      }
      __syncthreads();
      if (owns) {
#pragma unroll
        for (int warp = 0; warp < kWarps; ++warp) {
          sum[v] += sums_of_warps[warp][threadIdx.x];
        }
      }
      __syncthreads();
    }
    bool stores = owns;
    if (kShape.splits > 1 && splits > 1) {
      const auto part = [&](int of_split, int v) {
        return partial + (static_cast<long long>(of_split) * kVectors + v) * kShape.width + mine;
      };
      if (owns) {
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
          *part(split, v) = sum[v];
        }
      }
      stores = IsLastBlock(counters + tile, splits, kThreads) && owns;
      if (stores) {
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
          sum[v] = 0;
          for (int s = 0; s < splits; ++s) {
            sum[v] += LoadCoherent(part(s, v));
          }
        }
      }
    }
    if (stores) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const long long at = static_cast<long long>(v) * kShape.width + mine;
        const float start = static_cast<const float*>(bias)[mine] +
                            (kShape.residual ? LoadCoherent(static_cast<const float*>(residual) + at) : 0);
        static_cast<float*>(y)[at] = start + sum[v];
      }
    }
    __syncthreads();
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_BATCHFC2_CUH_
