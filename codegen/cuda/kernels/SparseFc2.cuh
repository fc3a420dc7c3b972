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
  bool early_list;  ///< The list is a predictor's, and there before the launches ahead have ended.
  int threads;
  int tile;    ///< Columns of a block's piece.
  int splits;  ///< Blocks for each tile at most; scratch has room for their sums.
  int rows;    ///< In a slot of the ring (RingFc2.cuh); 0 where each thread loads for itself.
  int slots;
};

/// sums += h row, for the columns of one load.
template <DType kType>
__device__ inline void AddRow(float h, const uint4& row, float (&sums)[PerLoad(kType)]) {
  float values[PerLoad(kType)];
  Widen<kType>(row, values);
#pragma unroll
  for (int j = 0; j < PerLoad(kType); ++j) {
    sums[j] = fmaf(h, values[j], sums[j]);
  }
}

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

/// One of the pieces that the blocks share: a tile of columns, and one of the parts into which the list is split.
template <SparseFc2Shape kShape>
struct Fc2Item {
  static constexpr int kTiles = CeilDiv(kShape.width, kShape.tile);
  static_assert(kTiles * 4 <= kScratchCounterBytes);

  int splits;
  int tile;
  int split;
  int begin;  ///< Entries of the list.
  int end;

  __device__ static int Splits(const Grid& grid) { return max(1, min(grid.blocks / kTiles, kShape.splits)); }

  __device__ Fc2Item(int number, int all_splits, int count)
      : splits(all_splits),
        tile(number % kTiles),
        split(number / kTiles),
        begin(static_cast<int>(static_cast<long long>(count) * split / splits)),
        end(static_cast<int>(static_cast<long long>(count) * (split + 1) / splits)) {}
};

/// Calls body(value, column in the tile, column) for each column of the tile that the thread has a value of.
template <SparseFc2Shape kShape, int kCount, typename Body>
__device__ inline void ForColumns(const Fc2Item<kShape>& item, float (&values)[kCount], Body body) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int in_tile = i * kShape.threads + Thread();
    const int column = item.tile * kShape.tile + in_tile;
    if (in_tile < kShape.tile && column < kShape.width) {
      body(values[i], in_tile, column);
    }
  }
}

/// By the first kShape.threads threads: adds up the sums of the groups of threads, and then those of all splits in the
/// block that is the last to come here.
template <SparseFc2Shape kShape, int kGroups>
__device__ inline void FinishTile(const Fc2Item<kShape>& item, const float (*sums)[kShape.tile], const void* bias,
                                  const void* residual, void* y, void* scratch) {
  constexpr int kPerThread = CeilDiv(kShape.tile, kShape.threads);
  auto* counters = static_cast<unsigned*>(scratch);
  auto* partial = reinterpret_cast<float*>(static_cast<char*>(scratch) + kScratchCounterBytes);
  float mine[kPerThread] = {};
  SyncFirst(kShape.threads);
  ForColumns<kShape>(item, mine, [&](float& sum, int in_tile, int) {
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      sum += sums[group][in_tile];
    }
  });
  bool stores = true;
  if (kShape.splits > 1 && item.splits > 1) {
    ForColumns<kShape>(item, mine, [&](float sum, int, int column) {
      partial[static_cast<long long>(item.split) * kShape.width + column] = sum;
    });
    stores = IsLastBlock(counters + item.tile, item.splits, kShape.threads);
    if (stores) {
      ForColumns<kShape>(item, mine, [&](float& sum, int, int column) {
        sum = 0;
#pragma unroll 8
        for (int s = 0; s < item.splits; ++s) {
          sum += LoadCoherent(partial + static_cast<long long>(s) * kShape.width + column);
        }
      });
    }
  }
  if (stores) {
    ForColumns<kShape>(item, mine, [&](float sum, int, int column) {
      const float start = static_cast<const float*>(bias)[column] +
                          (kShape.residual ? LoadCoherent(static_cast<const float*>(residual) + column) : 0);
      static_cast<float*>(y)[column] = start + sum;
    });
  }
  SyncFirst(kShape.threads);
}

/// A warp's part of an item of a predictor's list, by plain loads. Most of what a predictor lists is positive, so all
/// rows are read, from before h is there.
template <SparseFc2Shape kShape>
class LikelyRows {
 public:
  static constexpr int kLoad = PerLoad(kShape.dtype);
  static constexpr int kUnroll = 6;
  static constexpr int kWarps = kShape.threads / 32;
  static constexpr int kStep = kWarps * kUnroll;

  /// Starts to load the first rows.
  __device__ LikelyRows(const Fc2Item<kShape>& item, const void* h, const int* numbers, const void* fc2t)
      : h_(static_cast<const float*>(h)), numbers_(numbers), end_(item.end), first_(item.begin + Warp()) {
    column_ = item.tile * kShape.tile + Lane() * kLoad;
    rows_ = static_cast<const char*>(fc2t) + static_cast<long long>(column_) * Bytes(kShape.dtype);
    LoadNumbers(first_);
    LoadRows(first_);
  }

  /// When h is there.
  __device__ void Add(float (&sums)[kLoad]) {
    float h[kUnroll];
    LoadH(first_, h);
    for (int i = first_; i < end_; i += kStep) {
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (h[u] != 0) {
          AddRow<kShape.dtype>(h[u], loaded_[u], sums);
        }
      }
      LoadRows(i + kStep);
      LoadH(i + kStep, h);
    }
  }

 private:
  [[nodiscard]] __device__ bool Has(int i, int u) const { return i + u * kWarps < end_; }

  __device__ void LoadNumbers(int i) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      next_[u] = Has(i, u) ? LoadCoherent(numbers_ + i + u * kWarps) : 0;
    }
  }

  /// After LoadNumbers(): starts to load those rows, and the numbers after them.
  __device__ void LoadRows(int i) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      loaded_[u] = {};
      if (Has(i, u) && column_ < kShape.width) {
        LoadWeights(rows_ + static_cast<long long>(next_[u]) * (kShape.width * Bytes(kShape.dtype)), loaded_[u]);
      }
    }
    LoadNumbers(i + kStep);
  }

  __device__ void LoadH(int i, float (&h)[kUnroll]) const {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      h[u] = Has(i, u) ? LoadCoherent(h_ + i + u * kWarps) : 0;
    }
  }

  const float* h_;
  const int* numbers_;
  const char* rows_;
  int column_;
  int end_;
  int first_;
  int next_[kUnroll];
  uint4 loaded_[kUnroll];
};

/// y f32<1, width> = bias + residual + sum of h[i] * fc2t<n, width>[active[i]].
template <SparseFc2Shape kShape>
__device__ inline void SparseFc2(const void* h, const void* active, const void* fc2t, const void* bias,
                                 const void* residual, void* y, const Dims*, const Grid& grid = Grid(),
                                 void* scratch = nullptr) {
  constexpr int kThreads = kShape.threads;
  constexpr int kWarps = kThreads / 32;
  constexpr int kLoad = PerLoad(kShape.dtype);
  constexpr int kUnroll = 4;
  static_assert(kShape.width % kLoad == 0 && kThreads % 32 == 0 && kShape.tile == 32 * kLoad);
  __shared__ PositiveEntry list[kThreads];
  __shared__ float sums_of_warps[kWarps][kShape.tile];
  if constexpr (!kShape.early_list) {
    WaitForEarlier();
  }
  const int count = LoadCoherent(static_cast<const int*>(active));
  const int* numbers = static_cast<const int*>(active) + kIndexEntries;
  const int splits = Fc2Item<kShape>::Splits(grid);
  for (int number = grid.block; number < Fc2Item<kShape>::kTiles * splits; number += grid.blocks) {
    const Fc2Item<kShape> item(number, splits, count);
    const int column = item.tile * kShape.tile + Lane() * kLoad;
    float sums[kLoad] = {};
    if constexpr (kShape.early_list) {
      LikelyRows<kShape> rows(item, h, numbers, fc2t);
      WaitForEarlier();
      rows.Add(sums);
    }
    for (int first = item.begin; !kShape.early_list && first < item.end; first += kThreads) {
      const int positives = CollectPositives<kThreads>(numbers, static_cast<const float*>(h), first, item.end, list);
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
            AddRow<kShape.dtype>(list[i + u * kWarps].h, rows[u], sums);
          }
        }
      }
      __syncthreads();
    }
#pragma unroll
    for (int j = 0; j < kLoad; ++j) {
      sums_of_warps[Warp()][Lane() * kLoad + j] = sums[j];
    }
    FinishTile<kShape, kWarps>(item, sums_of_warps, bias, residual, y, scratch);
  }
  WaitForEarlier();  // where a block had nothing to do
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2_CUH_
