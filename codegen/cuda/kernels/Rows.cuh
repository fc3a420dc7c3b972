// embed_tokens, embed_positions, add, last_row: each element by itself, or a copy of a row.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_ROWS_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_ROWS_CUH_

#include "Common.cuh"

namespace dejavu {

struct EmbedTokensShape {
  int tokens;
  int width;
  DType dtype;
};

/// y f32<tokens, width> = table<vocab, width>[tokens].
template <EmbedTokensShape kShape>
__device__ inline void EmbedTokens(const void* tokens, const void* table, void* y, const Dims* dims) {
  constexpr int kLoad = PerLoad(kShape.dtype);
  static_assert(kShape.width % kLoad == 0);
  WaitForEarlier();
  const long long count = static_cast<long long>(Tokens<kShape.tokens>(dims)) * (kShape.width / kLoad);
  const GridShare share = ShareOfGrid();
  for (long long i = share.begin; i < count; i += share.step) {
    const long long token = i / (kShape.width / kLoad);
    const int column = static_cast<int>(i % (kShape.width / kLoad)) * kLoad;
    const long long row = static_cast<const int*>(tokens)[token];
    float values[kLoad];
    LoadFloats<kShape.dtype>(table, row * kShape.width + column, values);
#pragma unroll
    for (int j = 0; j < kLoad; j += 4) {
      StoreQuad(y, i * kLoad + j, {values[j], values[j + 1], values[j + 2], values[j + 3]});
    }
  }
}

struct EmbedPositionsShape {
  int tokens;
  int width;
  int offset;
  DType dtype;
  bool batch;  ///< Each token has a position of its own.
};

/// y f32<tokens, width> = x + table<positions, width>[past + t + offset].
template <EmbedPositionsShape kShape>
__device__ inline void EmbedPositions(const void* x, const void* table, void* y, const Dims* dims) {
  constexpr int kLoad = PerLoad(kShape.dtype);
  static_assert(kShape.width % kLoad == 0);
  WaitForEarlier();
  const long long count = static_cast<long long>(Tokens<kShape.tokens>(dims)) * (kShape.width / kLoad);
  const long long first = (dims->past + kShape.offset) * kShape.width;
  constexpr int kLoads = kShape.width / kLoad;
  const GridShare share = ShareOfGrid();
  for (long long i = share.begin; i < count; i += share.step) {
    float values[kLoad];
    if constexpr (kShape.batch) {
      const long long row = PastOf(dims, static_cast<int>(i / kLoads)) + kShape.offset;
      LoadFloats<kShape.dtype>(table, row * kShape.width + i % kLoads * kLoad, values);
    } else {
      LoadFloats<kShape.dtype>(table, first + i * kLoad, values);
    }
#pragma unroll
    for (int j = 0; j < kLoad; j += 4) {
      const float4 old = LoadQuad(x, i * kLoad + j);
      StoreQuad(y, i * kLoad + j,
                {old.x + values[j], old.y + values[j + 1], old.z + values[j + 2], old.w + values[j + 3]});
    }
  }
}

struct RowsShape {
  int tokens;
  int width;
};

/// y = a + b, all f32<tokens, width>.
template <RowsShape kShape>
__device__ inline void Add(const void* a, const void* b, void* y, const Dims* dims) {
  static_assert(kShape.width % 4 == 0);
  WaitForEarlier();
  const long long count = static_cast<long long>(Tokens<kShape.tokens>(dims)) * (kShape.width / 4);
  const GridShare share = ShareOfGrid();
  for (long long i = share.begin; i < count; i += share.step) {
    const float4 left = LoadQuad(a, 4 * i);
    const float4 right = LoadQuad(b, 4 * i);
    StoreQuad(y, 4 * i, {left.x + right.x, left.y + right.y, left.z + right.z, left.w + right.w});
  }
}

/// y f32<1, width> is the last row of x f32<tokens, width>.
template <RowsShape kShape>
__device__ inline void LastRow(const void* x, void* y, const Dims* dims) {
  static_assert(kShape.width % 4 == 0);
  WaitForEarlier();
  const long long first = (static_cast<long long>(Tokens<kShape.tokens>(dims)) - 1) * kShape.width;
  const GridShare share = ShareOfGrid();
  for (long long i = share.begin; i < kShape.width / 4; i += share.step) {
    StoreQuad(y, 4 * i, LoadQuad(x, first + 4 * i));
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_ROWS_CUH_
