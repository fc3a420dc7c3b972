// How products of rows with one vector are cut into warps, loads and pieces of the vector (kernels/Gemv.cuh), or into
// slots of a ring.
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

/// For n rows of k elements, of which a load brings `per_load`, and a vector of floats. `threads` 0: as many as suit.
[[nodiscard]] GemvTiling TileFloats(int64_t n, int64_t k, int64_t per_load, int64_t threads = 0);
/// For n rows of k int8 and a vector of int16, all of which is in shared memory.
[[nodiscard]] GemvTiling TileInt8(int64_t n, int64_t k);

/// How the same products are cut where the hardware copies rows to a ring in shared memory (kernels/RingGemv.cuh).
struct RingTiling {
  int64_t threads = 0;  ///< That multiply; 0: no ring.
  int64_t loads = 0;    ///< Of 16 bytes, of each row, that such a thread takes at a time.
  int64_t chunk = 0;    ///< Columns in work at a time.
  int64_t rows = 0;     ///< In a slot.
  int64_t slots = 0;
  int64_t shared = 0;  ///< Bytes of shared memory for the slots.
};

/// For n rows of k elements, of which a load brings `per_load`. No ring where the rows or all of them are small.
[[nodiscard]] RingTiling TileRing(int64_t n, int64_t k, int64_t per_load);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_GEMVTILING_H_
