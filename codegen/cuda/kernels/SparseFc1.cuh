// sparse_fc1: linear over the rows that a list names.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC1_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC1_CUH_

#include "FloatGemv.cuh"

namespace dejavu {

struct SparseFc1Shape {
  int n;  ///< Rows of fc1: the most that a list names.
  int k;
  DType dtype;
  bool early_list;  ///< The list is there before the launches ahead have ended.
  Norm norm;
  GemvTiling tiling;
};

/// h[i] = relu(row(i) . x + bias[number of row i]) for all rows.
template <SparseFc1Shape kShape, typename Rows>
__device__ inline void MultiplyListed(const Rows& rows, const void* x, const void* bias, const void* gamma,
                                      const void* beta, void* h) {
  const auto prepare = [&](int entry) { return static_cast<const float*>(bias)[rows.Number(entry)]; };
  const auto finish = [&](int entry, float sum, float early) { static_cast<float*>(h)[entry] = Relu(sum + early); };
  MultiplyFloats<FloatMath<kShape.dtype>, kShape.k, kShape.norm, kShape.tiling>(rows, {x, gamma, beta}, prepare,
                                                                                finish);
}

/// h f32<active> = relu(fc1<n, k>[active] x + bias[active]), x normalised first where the shape says so.
template <SparseFc1Shape kShape>
__device__ inline void SparseFc1(const void* x, const void* fc1, const void* bias, const void* active,
                                 const void* gamma, const void* beta, void* h, const Dims*) {
  const ListedRows<kShape.k * Bytes(kShape.dtype), kShape.n, kShape.early_list> rows = {
      fc1, static_cast<const int*>(active)};
  MultiplyListed<kShape>(rows, x, bias, gamma, beta, h);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC1_CUH_
