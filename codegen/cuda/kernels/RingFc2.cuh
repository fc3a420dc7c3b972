// sparse_fc2 with a predictor's list, where the hardware copies in bulk (sm_90). Most of what a predictor lists is
// positive, so all listed rows come through a ring, from before h is there. Groups of threads share the rows of a slot;
// the threads of a group have a load of the tile's columns each.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_RINGFC2_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_RINGFC2_CUH_

#include "BulkRing.cuh"
#include "SparseFc2.cuh"

namespace dejavu {

template <SparseFc2Shape kShape>
class RingFc2Block {
 public:
  static constexpr int kThreads = kShape.threads;
  static constexpr int kLoad = PerLoad(kShape.dtype);
  static constexpr int kLoadsOfTile = kShape.tile / kLoad;
  static constexpr int kGroups = kThreads / kLoadsOfTile;
  static_assert(kShape.tile % kLoad == 0 && kShape.width % kLoad == 0 && kGroups >= 1);
  using Ring = BulkRing<kThreads, kShape.slots, kShape.rows, kShape.tile * Bytes(kShape.dtype)>;

  /// The block's dynamic shared memory.
  struct Shared {
    typename Ring::Shared ring;
    float sums[kGroups][kShape.tile];
    float h[kThreads];
  };
  __device__ static Shared& State() { return *static_cast<Shared*>(DynamicShared()); }

  /// By the warp that copies: the item's rows.
  __device__ void Copy(const Fc2Item<kShape>& item, const void* fc2t, const int* numbers) {
    const int column = item.tile * kShape.tile;
    const int columns = min(kShape.tile, kShape.width - column);
    ring_.Copy(item.end - item.begin, columns * Bytes(kShape.dtype), [&](int i) {
      const long long row = LoadCoherent(numbers + item.begin + i);
      return static_cast<const char*>(fc2t) + (row * kShape.width + column) * Bytes(kShape.dtype);
    });
  }

  /// By the others: puts the sums of each group into shared memory.
  __device__ void Add(const Fc2Item<kShape>& item, const float* h) {
    const int group = Thread() / kLoadsOfTile;
    const int load = Thread() % kLoadsOfTile;
    const bool works = group < kGroups && item.tile * kShape.tile + load * kLoad < kShape.width;
    float sums[kLoad] = {};
    // As many entries at a time as there are threads, of which each brings one h.
    for (int first = item.begin; first < item.end; first += kThreads) {
      const int count = min(kThreads, item.end - first);
      SyncFirst(kThreads);
      if (Thread() < count) {
        State().h[Thread()] = LoadCoherent(h + first + Thread());
      }
      SyncFirst(kThreads);
      for (int slot = 0; slot < count; slot += kShape.rows) {
        const auto* rows = ring_.Next();
#pragma unroll
        for (int row = group; row < kShape.rows; row += kGroups) {
          const float value = works && slot + row < count ? State().h[slot + row] : 0;
          if (value != 0) {
            AddRow<kShape.dtype>(value, reinterpret_cast<const uint4*>(rows[row])[load], sums);
          }
        }
        ring_.Release();
      }
    }
    if (group < kGroups) {
#pragma unroll
      for (int j = 0; j < kLoad; ++j) {
        State().sums[group][load * kLoad + j] = sums[j];
      }
    }
  }

 private:
  Ring ring_;
};

/// As SparseFc2.
template <SparseFc2Shape kShape>
__device__ inline void RingFc2(const void* h, const void* active, const void* fc2t, const void* bias,
                               const void* residual, void* y, const Dims*, const Grid& grid = Grid(),
                               void* scratch = nullptr) {
  using Block = RingFc2Block<kShape>;
  using Item = Fc2Item<kShape>;
  Block block;
  const bool copies = !Block::Ring::Start();
  if (!kShape.early_list || !copies) {
    WaitForEarlier();
  }
  const int count = LoadCoherent(static_cast<const int*>(active));
  const int* numbers = static_cast<const int*>(active) + kIndexEntries;
  const int splits = Item::Splits(grid);
  for (int number = grid.block; number < Item::kTiles * splits; number += grid.blocks) {
    const Item item(number, splits, count);
    if (copies) {
      block.Copy(item, fc2t, numbers);
    } else {
      block.Add(item, static_cast<const float*>(h));
      FinishTile<kShape, Block::kGroups>(item, Block::State().sums, bias, residual, y, scratch);
    }
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_RINGFC2_CUH_
