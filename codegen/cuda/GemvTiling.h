// How products of rows with one vector are cut into warps, loads and pieces of the vector (kernels/Gemv.cuh).
#ifndef DEJAVU_CODEGEN_CUDA_GEMVTILING_H_
#define DEJAVU_CODEGEN_CUDA_GEMVTILING_H_

#include <cstdint>

namespace dejavu {

struct GemvTiling {
  int64_t threads = 0;  ///< Of a block.
  int64_t rows = 0;     ///< In work in a warp at a time.
  int64_t unroll = 0;   ///< Loads in flight for each of them.
  int64_t chunk = 0;    ///< Columns of the vector that shared memory holds.
  int64_t shared = 0;   ///< Bytes of shared memory for that.
};

/// For n rows of k elements, of which a load brings `per_load`, and a vector of floats.
[[nodiscard]] GemvTiling TileFloats(int64_t n, int64_t k, int64_t per_load);
/// For n rows of k int8 and a vector of int16, all of which is in shared memory.
[[nodiscard]] GemvTiling TileInt8(int64_t n, int64_t k);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_GEMVTILING_H_
