// How products of rows with one vector are cut into warps, loads and pieces of the vector: by plain loads
// (kernels/Gemv.cuh), or through a ring of bulk copies (kernels/RingGemv.cuh).
#ifndef DEJAVU_CODEGEN_CUDA_GEMVTILING_H_
#define DEJAVU_CODEGEN_CUDA_GEMVTILING_H_

#include <cstdint>
#include <optional>

namespace dejavu {

[[nodiscard]] inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct GemvTiling {
  int64_t threads = 0;  ///< Of a block, that multiply. A ring's blocks have one warp more.
  int64_t rows = 0;     ///< In work at a time: in a warp, or in a slot of the ring.
  int64_t unroll = 0;   ///< Loads of a thread for each of them at a time.
  int64_t chunk = 0;    ///< Columns of the vector that are in work at a time.
  int64_t slots = 0;    ///< Of the ring; 0: there is none.
  int64_t shared = 0;   ///< Bytes of shared memory.
};

/// For n rows of k elements, of which a load brings `per_load`, and a vector of floats.
[[nodiscard]] GemvTiling TileFloats(int64_t n, int64_t k, int64_t per_load);
/// For n rows of k integers, of which a load brings `per_load`, and a vector of int16, all of which is in shared
/// memory. `threads`: of a block; 0: what suits.
[[nodiscard]] GemvTiling TileIntegers(int64_t n, int64_t k, int64_t per_load, int64_t threads = 0);
/// The same for int8.
[[nodiscard]] inline GemvTiling TileInt8(int64_t n, int64_t k, int64_t threads = 0) {
  return TileIntegers(n, k, k % 16 == 0 ? 16 : 8, threads);
}
/// For rows of k elements, of which a load brings `per_load`, on a device that copies in bulk. Nothing where rows are
/// no whole loads, or too short to give enough warps work. `whole`: only if all of a row is in work at a time. `side`:
/// bytes that come beside each row, which is a whole one then.
[[nodiscard]] std::optional<GemvTiling> TileRing(int64_t k, int64_t per_load, bool whole, int64_t side = 0);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_GEMVTILING_H_
