// What the two ways of sparse_fc2 share: how tiles of columns and ranges of the list make the work of blocks, and how
// the blocks' sums of a tile become one.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2ITEMS_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2ITEMS_CUH_

#include "Common.cuh"

namespace dejavu {

struct SparseFc2Shape {
  int width;
  DType dtype;
  bool residual;
  bool early_list;  ///< The list is there before the launches ahead have ended.
  int threads;      ///< Of a block, that add up. A ring's blocks have one warp more.
  int tile;         ///< Columns of a block.
  int splits;       ///< Blocks for each tile at most; scratch has room for their sums.
  int rows;         ///< In a slot of the ring, at most.
  int slots;        ///< Of the ring; 0: there is none.
  int ahead;        ///< Slots that are filled before it is known which h are zero.
  int shared;       ///< Bytes of dynamic shared memory.
};

/// All arguments, and the work of the blocks.
template <SparseFc2Shape kShape>
class SparseFc2Items {
 public:
  static constexpr int kTiles = CeilDiv(kShape.width, kShape.tile);
  static_assert(kTiles * 4 <= kScratchCounterBytes && kShape.tile % 4 == 0);

  /// Some columns, and the entries [begin, end) of the list.
  struct Item {
    int tile;
    int split;
    int column;   ///< The first.
    int columns;  ///< How many.
    int begin;
    int end;
  };

  __device__ SparseFc2Items(const void* h, const void* active, const void* fc2t)
      : h_(static_cast<const float*>(h)),
        active_(static_cast<const int*>(active)),
        fc2t_(static_cast<const char*>(fc2t)),
        splits_(max(1, min(Blocks() / kTiles, kShape.splits))) {}

  /// How many items there are: block i takes item i, then that which is as far on as there are blocks.
  __device__ int Count() const { return kTiles * splits_; }
  /// `count` is that of the list.
  __device__ Item At(int item, int count) const {
    const int tile = item % kTiles;
    const int split = item / kTiles;
    const int column = tile * kShape.tile;
    return {tile,
            split,
            column,
            min(kShape.tile, kShape.width - column),
            static_cast<int>(static_cast<long long>(count) * split / splits_),
            static_cast<int>(static_cast<long long>(count) * (split + 1) / splits_)};
  }

  __device__ int ListCount() const { return LoadCoherent(active_); }
  __device__ int Neuron(int entry) const { return LoadCoherent(active_ + kIndexEntries + entry); }
  __device__ float H(int entry) const { return LoadCoherent(h_ + entry); }
  __device__ const char* Row(int neuron, int column) const {
    return fc2t_ + (static_cast<long long>(neuron) * kShape.width + column) * Bytes(kShape.dtype);
  }

  /// By the first kShape.threads threads: `sums(i)` has the block's sums of columns [i, i + 4) of the item. The last
  /// block of a tile adds up the blocks' sums in their order, so the result does not depend on which block is last.
  template <typename Sums>
  __device__ void Finish(const Item& item, Sums sums, const void* bias, const void* residual, void* y,
                         void* scratch) const {
    const auto start = [&](int column) {
      float4 value = LoadQuad(bias, column);
      if constexpr (kShape.residual) {
        value = Plus(value, LoadQuad(residual, column));
      }
      return value;
    };
    if (kShape.splits == 1 || splits_ == 1) {
      for (int i = 4 * Thread(); i < item.columns; i += 4 * kShape.threads) {
        StoreQuad(y, item.column + i, Plus(start(item.column + i), sums(i)));
      }
      return;
    }
    auto* partial = reinterpret_cast<float*>(static_cast<char*>(scratch) + kScratchCounterBytes);
    for (int i = 4 * Thread(); i < item.columns; i += 4 * kShape.threads) {
      StoreQuad(partial, static_cast<long long>(item.split) * kShape.width + item.column + i, sums(i));
    }
    if (!IsLastBlock(static_cast<unsigned*>(scratch) + item.tile, splits_, kShape.threads)) {
      return;
    }
    for (int i = 4 * Thread(); i < item.columns; i += 4 * kShape.threads) {
      const float4 first = start(item.column + i);
      float4 sum = {0, 0, 0, 0};
#pragma unroll 8
      for (int split = 0; split < splits_; ++split) {
        sum = Plus(sum, LoadQuad(partial, static_cast<long long>(split) * kShape.width + item.column + i));
      }
      StoreQuad(y, item.column + i, Plus(first, sum));
    }
  }

  __device__ static float4 Plus(const float4& a, const float4& b) {
    return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
  }

 private:
  const float* h_;
  const int* active_;
  const char* fc2t_;
  int splits_;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2ITEMS_CUH_
