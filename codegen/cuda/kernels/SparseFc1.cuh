// sparse_fc1: linear over the rows that a list names.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC1_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC1_CUH_

#include "Gemv.cuh"
#include "Input.cuh"

namespace dejavu {

struct SparseFc1Shape {
  int k;
  DType dtype;
  Norm norm;
  GemvTiling tiling;
};

/// h f32<active> = relu(fc1<n, k>[active] x + bias[active]), x normalised first where the shape says so.
template <SparseFc1Shape kShape>
__device__ inline void SparseFc1(const void* x, const void* fc1, const void* bias, const void* active,
                                 const void* gamma, const void* beta, void* h, const Dims*) {
  using Math = FloatMath<kShape.dtype>;
  WaitForEarlier();
  LetNextStart();
  const int count = *static_cast<const int*>(active);
  const int* numbers = static_cast<const int*>(active) + kIndexEntries;
  const auto row_at = [&](int entry) {
    return static_cast<const char*>(fc1) + static_cast<long long>(numbers[entry]) * kShape.k * Bytes(kShape.dtype);
  };
  const Input<kShape.k, kShape.norm, kShape.tiling.threads> input(x, gamma, beta);
  const auto stage = [&](int begin, int columns) {
    __syncthreads();
    Math::template Stage<kShape.tiling.threads>(input, begin, columns);
    __syncthreads();
  };
  const auto prepare = [&](int entry) { return static_cast<const float*>(bias)[numbers[entry]]; };
  const auto finish = [&](int entry, float sum, float early) { static_cast<float*>(h)[entry] = Relu(sum + early); };
  Gemv<Math, kShape.k, kShape.tiling> gemv;
  gemv.Start(count, row_at);
  gemv.Run(count, row_at, stage, prepare, finish);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC1_CUH_
