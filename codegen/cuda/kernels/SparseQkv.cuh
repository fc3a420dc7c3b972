// sparse_qkv: linear over the rows of k and v, and over those of q whose heads a list names.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEQKV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEQKV_CUH_

#include "FloatGemv.cuh"

namespace dejavu {

struct SparseQkvShape {
  int width;
  int head_dim;
  DType dtype;
  bool bias;
  bool early_list;  ///< The list is there before the launches ahead have ended.
  Norm norm;
  GemvTiling tiling;
};

/// The rows of q, k and v below each other, of q those of the listed heads alone.
template <int kWidth, int kHeadDim, int kRowBytes, bool kEarlyList>
struct QkvRows {
  static constexpr bool kEarly = kEarlyList;
  static constexpr int kOthers = 2 * kWidth;  ///< Rows of k and v, which come first.

  const void* matrix;
  const int* heads;

  /// Through a ring, K and V before Q: each block has a share of both, so the list is there when it is needed.
  template <typename Ring>
  __device__ void Copy(Ring& ring) const {
    ring.Copy(kOthers, *this);
    ring.Copy(Count() - kOthers, [&](int i) { return (*this)(kOthers + i); });
  }
  template <typename Ring, typename Product, typename Prepare, typename Finish>
  __device__ void Run(Ring& ring, Product& product, Prepare prepare, Finish finish) const {
    ring.Run(kOthers, product, prepare, finish);
    const auto prepare_q = [&](int i) { return prepare(kOthers + i); };
    const auto finish_q = [&](int i, float sum, const decltype(prepare(0))& early) { finish(kOthers + i, sum, early); };
    ring.Run(Count() - kOthers, product, prepare_q, finish_q);
  }

  __device__ int Count() const { return kOthers + LoadCoherent(heads) * kHeadDim; }
  __device__ int Number(int entry) const {
    const int of_q = entry - kOthers;
    return of_q < 0 ? kWidth + entry
                    : LoadCoherent(heads + kIndexEntries + of_q / kHeadDim) * kHeadDim + of_q % kHeadDim;
  }
  __device__ const char* operator()(int entry) const {
    return static_cast<const char*>(matrix) + static_cast<long long>(Number(entry)) * kRowBytes;
  }
};

/// y f32<1, 3 * width> = w<3 * width, width> x + bias, x normalised first where the shape says so; rows of q whose head
/// is not listed are neither read nor written. `others` as in MultiplyFloats().
template <SparseQkvShape kShape, typename Others = NoOthers>
__device__ inline void SparseQkv(const void* x, const void* w, const void* bias, const void* heads, const void* gamma,
                                 const void* beta, void* y, const Dims*, const Others& others = Others()) {
  const QkvRows<kShape.width, kShape.head_dim, kShape.width * Bytes(kShape.dtype), kShape.early_list> rows = {
      w, static_cast<const int*>(heads)};
  struct Early {
    int row;
    float bias;
  };
  const auto prepare = [&](int entry) {
    const int row = rows.Number(entry);
    return Early{row, kShape.bias ? static_cast<const float*>(bias)[row] : 0};
  };
  const auto finish = [&](int, float sum, const Early& early) { static_cast<float*>(y)[early.row] = sum + early.bias; };
  MultiplyFloats<FloatMath<kShape.dtype>, kShape.width, kShape.norm, kShape.tiling>(rows, {x, gamma, beta}, prepare,
                                                                                    finish, others);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEQKV_CUH_
