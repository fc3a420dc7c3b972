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
  static_assert(kShape.head_dim % Math::kLoad == 0, "a load would reach into the next head");

  __device__ ListedColumns(const void* w, const int* heads, int count)
      : w_(static_cast<const char*>(w)), heads_(heads) {
    columns_ = count * kShape.head_dim;
  }

  /// Elements [column, column + 4) of the listed part of x.
  struct Source {
    const float* x;
    const int* heads;
    __device__ float4 Quad(int column) const { return LoadQuad(x, Column(heads, column)); }
  };

  /// The sums of the rows [first, first + kRows), the last row again past the end; lane r gets that of row first + r.
  __device__ float SumsOf(int first) const {
    float sums[kRows] = {};
    const int segments = CeilDiv(columns_, Math::kSegment);
    for (int segment = 0; segment < segments; segment += kUnroll) {
      typename Math::Load loaded[kRows][kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        const int column = (segment + u) * Math::kSegment + Lane() * Math::kLoad;
        const bool loads = column < columns_;
        const long long offset = loads ? Column(heads_, column) : 0;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          loaded[r][u] = {};
          if (loads) {
            const long long row = min(first + r, kShape.n - 1);
            LoadWeights(w_ + (row * kShape.k + offset) * Bytes(kShape.dtype), loaded[r][u]);
          }
        }
      }
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (segment + u < segments) {
          const typename Math::Operand x = Math::Read(segment + u);
#pragma unroll
          for (int r = 0; r < kRows; ++r) {
            sums[r] = Math::MultiplyAdd(loaded[r][u], x, sums[r]);
          }
        }
      }
    }
    float mine = 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float sum = SumLanes(sums[r]);
      mine = Lane() == r ? sum : mine;
    }
    return mine;
  }

 private:
  /// Where the listed column number `column` is in a row.
  __device__ static int Column(const int* heads, int column) {
    return heads[column / kShape.head_dim] * kShape.head_dim + column % kShape.head_dim;
  }

  const char* w_;
  const int* heads_;
  int columns_;
};

/// y f32<1, n> = w<n, k> x + bias + residual over the listed heads' columns.
template <SparseOutShape kShape>
__device__ inline void SparseOut(const void* x, const void* w, const void* bias, const void* residual,
                                 const void* heads, void* y, const Dims*) {
  using Product = ListedColumns<kShape>;
  __shared__ int listed[Product::kHeads];
  WaitForEarlier();
  const int count = LoadCoherent(static_cast<const int*>(heads));
  for (int i = Thread(); i < count; i += kShape.tiling.threads) {
    listed[i] = LoadCoherent(static_cast<const int*>(heads) + kIndexEntries + i);
  }
  __syncthreads();
  const typename Product::Source source = {static_cast<const float*>(x), listed};
  Product::Math::template Stage<kShape.tiling.threads>(source, 0, count * kShape.head_dim);
  __syncthreads();
  const Product product(w, listed, count);
  constexpr int kGroups = CeilDiv(kShape.n, Product::kRows);
  for (int group = Warp() * Blocks() + Block(); group < kGroups; group += Blocks() * Product::kWarps) {
    const int row = group * Product::kRows + Lane();
    const bool finishes = Lane() < Product::kRows && row < kShape.n;
    float added = 0;
    if (finishes) {
      added = kShape.bias ? static_cast<const float*>(bias)[row] : 0;
      added += kShape.residual ? LoadCoherent(static_cast<const float*>(residual) + row) : 0;
    }
    const float sum = product.SumsOf(group * Product::kRows);
    if (finishes) {
      static_cast<float*>(y)[row] = sum + added;
    }
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEOUT_CUH_
