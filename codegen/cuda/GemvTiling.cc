#include "codegen/cuda/GemvTiling.h"

#include <algorithm>

namespace dejavu {
namespace {

constexpr int64_t kLanes = 32;
// 16-byte loads that each lane has in flight. More of them were slower on an H200.
constexpr int64_t kLoads = 4;
// Columns of the vector in one block: two blocks fit a multiprocessor's shared memory, also that of sm_80.
constexpr int64_t kMaxChunk = 16384;
// Blocks that keep a large device busy.
constexpr int64_t kManyBlocks = 264;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

/// Rows too short for all loads are taken several at a time.
GemvTiling TileRows(int64_t n, int64_t k, int64_t segment) {
  GemvTiling tiling;
  const int64_t segments = CeilDiv(k, segment);
  tiling.rows = segments >= kLoads ? 1 : segments >= kLoads / 2 ? 2 : kLoads;
  tiling.unroll = kLoads / tiling.rows;
  // Smaller blocks where large ones would leave multiprocessors without work.
  tiling.threads = 512;
  while (tiling.threads > 128 && n < kManyBlocks * tiling.rows * tiling.threads / kLanes) {
    tiling.threads /= 2;
  }
  return tiling;
}

}  // namespace

GemvTiling TileFloats(int64_t n, int64_t k, int64_t per_load) {
  const int64_t segment = kLanes * per_load;
  GemvTiling tiling = TileRows(n, k, segment);
  const int64_t chunks = CeilDiv(k, kMaxChunk);
  tiling.chunk = RoundUp(CeilDiv(k, chunks), segment * tiling.unroll);
  tiling.shared = 4 * std::min(tiling.chunk, RoundUp(k, segment));
  return tiling;
}

GemvTiling TileInt8(int64_t n, int64_t k) {
  const int64_t segment = kLanes * (k % 16 == 0 ? 16 : 8);
  GemvTiling tiling = TileRows(n, k, segment);
  tiling.chunk = RoundUp(k, segment * tiling.unroll);
  tiling.shared = 2 * RoundUp(k, segment);
  return tiling;
}

}  // namespace dejavu
