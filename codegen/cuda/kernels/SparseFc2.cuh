// sparse_fc2: the rows of a list, each times its h, added up: through a ring (SparseFc2Ring.cuh), or so that a warp
// owns a tile of columns, one load wide, and the warps of a block share the rows.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2_CUH_

#include "SparseFc2Ring.cuh"

namespace dejavu {

/// An entry of the list whose h is not zero.
struct PositiveEntry {
  int neuron;
  float h;
};

/// Moves the positive ones of the entries [begin, end), one of each thread, to `list`, in order; returns their number.
template <int kThreads, typename Items>
__device__ inline int CollectPositives(const Items& items, int begin, int end, PositiveEntry* list) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int counts[kWarps];
  const int i = begin + Thread();
  PositiveEntry entry = {0, 0};
  if (i < end) {
    entry = {items.Neuron(i), items.H(i)};
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

/// A warp's columns of the positive entries, by plain loads.
template <SparseFc2Shape kShape>
__device__ inline void AddRowsUp(const SparseFc2Items<kShape>& items, const typename SparseFc2Items<kShape>::Item& item,
                                 float (&sums)[PerLoad(kShape.dtype)]) {
  constexpr int kThreads = kShape.threads;
  constexpr int kWarps = kThreads / 32;
  constexpr int kLoad = PerLoad(kShape.dtype);
  constexpr int kUnroll = 4;
  __shared__ PositiveEntry list[kThreads];
  const bool works = Lane() * kLoad < item.columns;
  for (int first = item.begin; first < item.end; first += kThreads) {
    const int positives = CollectPositives<kThreads>(items, first, item.end, list);
    for (int i = Warp(); i < positives && works; i += kWarps * kUnroll) {
      uint4 rows[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        if (i + u * kWarps < positives) {
          LoadWeights(items.Row(list[i + u * kWarps].neuron, item.column + Lane() * kLoad), rows[u]);
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
}

/// y f32<1, width> = bias + residual + sum of h[i] * fc2t<n, width>[active[i]].
template <SparseFc2Shape kShape>
__device__ inline void SparseFc2(const void* h, const void* active, const void* fc2t, const void* bias,
                                 const void* residual, void* y, const Dims*, void* scratch = nullptr) {
  using Items = SparseFc2Items<kShape>;
  const Items items(h, active, fc2t);
  if constexpr (kShape.slots > 0) {
    SparseFc2Ring<kShape>(items).Run(bias, residual, y, scratch);
  } else {
    constexpr int kWarps = kShape.threads / 32;
    constexpr int kLoad = PerLoad(kShape.dtype);
    static_assert(kShape.width % kLoad == 0 && kShape.threads % 32 == 0 && kShape.tile == 32 * kLoad);
    __shared__ float4 sums_of_warps[kWarps][kShape.tile / 4];
    WaitForEarlier();
    const int count = items.ListCount();
    for (int i = Block(); i < items.Count(); i += Blocks()) {
      const typename Items::Item item = items.At(i, count);
      float sums[kLoad] = {};
      AddRowsUp<kShape>(items, item, sums);
#pragma unroll
      for (int j = 0; j < kLoad; j += 4) {
        sums_of_warps[Warp()][(Lane() * kLoad + j) / 4] = {sums[j], sums[j + 1], sums[j + 2], sums[j + 3]};
      }
      __syncthreads();
      const auto sum_of_warps = [&](int column) {
        float4 sum = sums_of_warps[0][column / 4];
#pragma unroll
        for (int warp = 1; warp < kWarps; ++warp) {
          sum = Items::Plus(sum, sums_of_warps[warp][column / 4]);
        }
        return sum;
      };
      items.Finish(item, sum_of_warps, bias, residual, y, scratch);
      __syncthreads();
    }
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2_CUH_
