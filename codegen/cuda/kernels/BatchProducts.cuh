// linear, sparse_fc1, sparse_qkv and sparse_out for a token of each of several sequences.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_BATCHPRODUCTS_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_BATCHPRODUCTS_CUH_

#include "BatchGemv.cuh"
#include "FloatGemv.cuh"
#include "SparseQkv.cuh"

namespace dejavu {

/// Brings columns of x f32<kVectors, kWidth> to shared memory.
template <typename Gemv, typename Math, int kVectors, int kWidth, typename Columns>
__device__ inline void StageFloats(const float* x, const Columns& columns, int begin, int width) {
  constexpr int kQuads = Math::kSegment / 4;
  const int quads = CeilDiv(width, Math::kSegment) * kQuads;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
#pragma unroll 4
    for (int quad = Thread(); quad < quads; quad += Gemv::kThreads) {
      float4 value = {0, 0, 0, 0};
      if (4 * quad < width) {
        value = LoadQuad(x + static_cast<long long>(v) * kWidth, columns.Offset(begin + 4 * quad));
      }
      reinterpret_cast<float4*>(Gemv::Segment(4 * quad, v))[Math::Place(quad % kQuads)] = value;
    }
  }
}

/// All that such a kernel does, waiting for the launches ahead included: finish(number, vector, sum) for each row.
template <DType kType, int kVectors, int kWidth, BatchTiling kTiling, typename Rows, typename Finish>
__device__ inline void MultiplyBatch(const Rows& rows, const void* x, Finish finish) {
  using Math = BatchFloatMath<kType>;
  using Gemv = BatchGemv<Math, kVectors, kTiling>;
  const AllColumns<kWidth> columns;
  if constexpr (!Rows::kEarly) {
    WaitForEarlier();
  }
  Gemv gemv;
  gemv.Start(rows, columns);
  if constexpr (Rows::kEarly) {
    WaitForEarlier();
  }
  const auto stage = [&](int begin, int width) {
    StageFloats<Gemv, Math, kVectors, kWidth>(static_cast<const float*>(x), columns, begin, width);
  };
  gemv.template Run<false>(rows, columns, stage, finish);
}

struct BatchLinearShape {
  int vectors;
  int n;
  int k;
  DType dtype;
  bool bias;
  bool residual;
  bool relu;
  BatchTiling tiling;
};

/// y f32<vectors, n> = act(w<n, k> x + bias) + residual.
template <BatchLinearShape kShape>
__device__ inline void BatchLinear(const void* x, const void* w, const void* bias, const void* residual, const void*,
                                   const void*, void* y, const Dims*) {
  const MatrixRows<kShape.k * Bytes(kShape.dtype)> rows = {w, kShape.n};
  const auto finish = [&](int row, int vector, float sum) {
    const long long at = static_cast<long long>(vector) * kShape.n + row;
    sum += kShape.bias ? static_cast<const float*>(bias)[row] : 0;
    sum = kShape.relu ? Relu(sum) : sum;
    static_cast<float*>(y)[at] = sum + (kShape.residual ? LoadCoherent(static_cast<const float*>(residual) + at) : 0);
  };
  MultiplyBatch<kShape.dtype, kShape.vectors, kShape.k, kShape.tiling>(rows, x, finish);
}

struct BatchFc1Shape {
  int vectors;
  int n;
  int k;
  DType dtype;
  bool early_list;  ///< The list is there before the launches ahead have ended.
  BatchTiling tiling;
};

/// h f32<active, vectors> = relu(fc1<n, k>[active] x + bias[active]).
template <BatchFc1Shape kShape>
__device__ inline void BatchFc1(const void* x, const void* fc1, const void* bias, const void* active, const void*,
                                const void*, void* h, const Dims*) {
  const ListedRows<kShape.k * Bytes(kShape.dtype), kShape.n, kShape.early_list> rows = {
      fc1, static_cast<const int*>(active)};
  const auto finish = [&](int entry, int vector, float sum) {
    sum += static_cast<const float*>(bias)[rows.Number(entry)];
    static_cast<float*>(h)[static_cast<long long>(entry) * kShape.vectors + vector] = Relu(sum);
  };
  MultiplyBatch<kShape.dtype, kShape.vectors, kShape.k, kShape.tiling>(rows, x, finish);
}

struct BatchQkvShape {
  int vectors;
  int width;
  int head_dim;
  DType dtype;
  bool bias;
  bool early_list;
  BatchTiling tiling;
};

/// As SparseQkv, y f32<vectors, 3 * width>.
template <BatchQkvShape kShape>
__device__ inline void BatchQkv(const void* x, const void* w, const void* bias, const void* heads, const void*,
                                const void*, void* y, const Dims*) {
  const QkvRows<kShape.width, kShape.head_dim, kShape.width * Bytes(kShape.dtype), kShape.early_list> rows = {
      w, static_cast<const int*>(heads)};
  const auto finish = [&](int entry, int vector, float sum) {
    const int row = rows.Number(entry);
    const long long at = 3LL * kShape.width * vector + row;
    static_cast<float*>(y)[at] = sum + (kShape.bias ? static_cast<const float*>(bias)[row] : 0);
  };
  MultiplyBatch<kShape.dtype, kShape.vectors, kShape.width, kShape.tiling>(rows, x, finish);
}

struct BatchOutShape {
  int vectors;
  int n;
  int k;
  int head_dim;
  DType dtype;
  bool bias;
  bool residual;
  BatchTiling tiling;
};

/// The columns of the listed heads, one after the other.
template <int kHeadDim>
struct HeadColumns {
  const int* heads;  ///< In shared memory.
  int count;

  __device__ int Width() const { return count * kHeadDim; }
  __device__ int Offset(int column) const { return heads[column / kHeadDim] * kHeadDim + column % kHeadDim; }
};

/// y f32<vectors, n> = w<n, k> x + bias + residual over the listed heads' columns.
template <BatchOutShape kShape>
__device__ inline void BatchOut(const void* x, const void* w, const void* bias, const void* residual, const void* heads,
                                void* y, const Dims*) {
  using Math = BatchFloatMath<kShape.dtype>;
  using Gemv = BatchGemv<Math, kShape.vectors, kShape.tiling>;
  static_assert(kShape.head_dim % Math::kLoad == 0, "a load would reach into the next head");
  __shared__ int listed[kShape.k / kShape.head_dim];
  WaitForEarlier();
  const int count = LoadCoherent(static_cast<const int*>(heads));
  for (int i = Thread(); i < count; i += kShape.tiling.threads) {
    listed[i] = LoadCoherent(static_cast<const int*>(heads) + kIndexEntries + i);
  }
  __syncthreads();
  const MatrixRows<kShape.k * Bytes(kShape.dtype)> rows = {w, kShape.n};
  const HeadColumns<kShape.head_dim> columns = {listed, count};
  Gemv gemv;
  gemv.Start(rows, columns);
  const auto stage = [&](int begin, int width) {
    StageFloats<Gemv, Math, kShape.vectors, kShape.k>(static_cast<const float*>(x), columns, begin, width);
  };
  const auto finish = [&](int row, int vector, float sum) {
    const long long at = static_cast<long long>(vector) * kShape.n + row;
    sum += kShape.bias ? static_cast<const float*>(bias)[row] : 0;
    static_cast<float*>(y)[at] = sum + (kShape.residual ? LoadCoherent(static_cast<const float*>(residual) + at) : 0);
  };
  gemv.template Run<false>(rows, columns, stage, finish);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_BATCHPRODUCTS_CUH_
