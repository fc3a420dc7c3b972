// sparse_out: linear over the columns of the heads that a list names. The listed columns are numbered one after the
// other, so that lanes side by side have work however few they are; shared memory holds their part of x in that order.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEOUT_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEOUT_CUH_

#include "Gemv.cuh"

namespace dejavu {

struct SparseOutShape {
  int n;
  int k;
  int head_dim;
  DType dtype;
  bool bias;
  bool residual;
  bool early_list;    ///< The list is there before the launches ahead have ended.
  GemvTiling tiling;  ///< Its chunk is all of k.
};

/// A warp's part of the products.
template <SparseOutShape kShape>
class ListedColumns {
 public:
  using Math = FloatMath<kShape.dtype>;
  static constexpr int kRows = kShape.tiling.rows;
  static constexpr int kUnroll = kShape.tiling.unroll;
  static constexpr int kWarps = kShape.tiling.threads / 32;
  static constexpr int kHeads = kShape.k / kShape.head_dim;
  static constexpr int kGroups = CeilDiv(kShape.n, kRows);
  static_assert(kShape.head_dim % Math::kLoad == 0, "a load would reach into the next head");

  /// Starts to load the first rows.
  __device__ ListedColumns(const void* w, const int* heads, int count, const Grid& grid)
      : w_(static_cast<const char*>(w)), heads_(heads), columns_(count * kShape.head_dim), grid_(grid) {
    Load(FirstGroup(), 0);
  }

  /// Elements [column, column + 4) of the listed part of x.
  struct Source {
    const float* x;
    const int* heads;
    __device__ float4 Quad(int column) const { return LoadQuad(x, Column(heads, column)); }
  };

  /// When shared memory has x. For each row one lane calls early = prepare(row) before its sum is known and
  /// finish(row, sum, early) then.
  template <typename Prepare, typename Finish>
  __device__ void Run(Prepare prepare, Finish finish) {
    const int segments = CeilDiv(columns_, Math::kSegment);
    const int stride = grid_.blocks * kWarps;
    for (int group = FirstGroup(); group < kGroups; group += stride) {
      const int row = group * kRows + Lane();
      const bool finishes = Lane() < kRows && row < kShape.n;
      const float early = finishes ? prepare(row) : 0;
      float sums[kRows] = {};
      for (int segment = 0; segment < segments; segment += kUnroll) {
        Multiply(segment, segments, sums);
        const bool last = segment + kUnroll >= segments;
        Load(last ? group + stride : group, last ? 0 : segment + kUnroll);
      }
      float mine = 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float sum = SumLanes(sums[r]);
        mine = Lane() == r ? sum : mine;
      }
      if (finishes) {
        finish(row, mine, early);
      }
    }
  }

 private:
  /// Where the listed column number `column` is in a row.
  __device__ static int Column(const int* heads, int column) {
    return heads[column / kShape.head_dim] * kShape.head_dim + column % kShape.head_dim;
  }

  [[nodiscard]] __device__ int FirstGroup() const { return Warp() * grid_.blocks + grid_.block; }

  /// Starts to load segments [segment, segment + kUnroll) of the rows of a group, past the end the last row again.
  __device__ void Load(int group, int segment) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int column = (segment + u) * Math::kSegment + Lane() * Math::kLoad;
      const bool loads = group < kGroups && column < columns_;
      const long long offset = loads ? Column(heads_, column) : 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        loaded_[r][u] = {};
        if (loads) {
          const long long row = min(group * kRows + r, kShape.n - 1);
          LoadWeights(w_ + (row * kShape.k + offset) * Bytes(kShape.dtype), loaded_[r][u]);
        }
      }
    }
  }

  __device__ void Multiply(int segment, int segments, float (&sums)[kRows]) const {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (segment + u < segments) {
        const typename Math::Operand x = Math::Read(segment + u);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          sums[r] = Math::MultiplyAdd(loaded_[r][u], x, sums[r]);
        }
      }
    }
  }

  const char* w_;
  const int* heads_;
  int columns_;
  Grid grid_;
  typename Math::Load loaded_[kRows][kUnroll];
};

/// y f32<1, n> = w<n, k> x + bias + residual over the listed heads' columns.
template <SparseOutShape kShape>
__device__ inline void SparseOut(const void* x, const void* w, const void* bias, const void* residual,
                                 const void* heads, void* y, const Dims*, const Grid& grid = Grid()) {
  using Product = ListedColumns<kShape>;
  __shared__ int listed[Product::kHeads];
  if constexpr (!kShape.early_list) {
    WaitForEarlier();
  }
  const int count = LoadCoherent(static_cast<const int*>(heads));
  for (int i = Thread(); i < count; i += kShape.tiling.threads) {
    listed[i] = LoadCoherent(static_cast<const int*>(heads) + kIndexEntries + i);
  }
  __syncthreads();
  Product product(w, listed, count, grid);
  if constexpr (kShape.early_list) {
    WaitForEarlier();
  }
  const typename Product::Source source = {static_cast<const float*>(x), listed};
  Product::Math::template Stage<kShape.tiling.threads>(source, 0, count * kShape.head_dim);
  __syncthreads();
  const auto prepare = [&](int row) {
    const float added = kShape.bias ? static_cast<const float*>(bias)[row] : 0;
    return added + (kShape.residual ? LoadCoherent(static_cast<const float*>(residual) + row) : 0);
  };
  const auto finish = [&](int row, float sum, float early) { static_cast<float*>(y)[row] = sum + early; };
  product.Run(prepare, finish);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEOUT_CUH_
