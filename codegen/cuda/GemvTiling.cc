#include "codegen/cuda/GemvTiling.h"

#include <algorithm>

namespace dejavu {
namespace {

constexpr int64_t kLanes = 32;
constexpr int64_t kLoadBytes = 16;
// 16-byte loads that each lane has in flight. More of them were slower on an H200.
constexpr int64_t kLoads = 4;
// Columns of the vector in one block: two blocks fit a multiprocessor's shared memory, also that of sm_80.
constexpr int64_t kMaxChunk = 16384;
// Blocks that keep a large device busy.
constexpr int64_t kManyBlocks = 264;

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

/// Rows too short for all loads are taken several at a time.
GemvTiling TileRows(int64_t n, int64_t k, int64_t segment, int64_t threads) {
  GemvTiling tiling;
  const int64_t segments = CeilDiv(k, segment);
  tiling.rows = segments >= kLoads ? 1 : segments >= kLoads / 2 ? 2 : kLoads;
  tiling.unroll = kLoads / tiling.rows;
  // Smaller blocks where large ones would leave multiprocessors without work.
  tiling.threads = threads > 0 ? threads : 512;
  while (threads == 0 && tiling.threads > 128 && n < kManyBlocks * tiling.rows * tiling.threads / kLanes) {
    tiling.threads /= 2;
  }
  return tiling;
}

// A ring pays where there is enough to fill it with, and rows give all warps work.
constexpr int64_t kLeastRingMatrix = 8 << 20;
constexpr int64_t kLeastRingRow = 4096;
// What a block may have on every architecture. The rest of sm_90's shared memory is for the launches that run beside.
constexpr int64_t kMaxRing = 163 * 1024;
// A slot worth its barriers.
constexpr int64_t kLeastSlot = 12 * 1024;
// Of a block in the ring's kernels that multiply. More of them gain nothing.
constexpr int64_t kMaxRingThreads = 512;
// Of a thread, for each row: the registers that hold the vector.
constexpr int64_t kMaxRingLoads = 3;

/// `parts` of a row, each of whole loads.
RingTiling TileParts(int64_t row_loads, int64_t parts, int64_t per_load) {
  RingTiling ring;
  const int64_t loads = CeilDiv(row_loads, parts);
  ring.chunk = loads * per_load;
  ring.loads = CeilDiv(loads, kMaxRingThreads);
  ring.threads = RoundUp(CeilDiv(loads, ring.loads), kLanes);
  ring.rows = 1;
  while (ring.rows * loads * kLoadBytes < kLeastSlot) {
    ring.rows *= 2;
  }
  const int64_t slot = ring.rows * loads * kLoadBytes;
  ring.slots = kMaxRing / slot;
  ring.shared = ring.slots * slot;
  return ring;
}

}  // namespace

GemvTiling TileFloats(int64_t n, int64_t k, int64_t per_load, int64_t threads) {
  const int64_t segment = kLanes * per_load;
  GemvTiling tiling = TileRows(n, k, segment, threads);
  const int64_t chunks = CeilDiv(k, kMaxChunk);
  tiling.chunk = RoundUp(CeilDiv(k, chunks), segment * tiling.unroll);
  tiling.shared = 4 * std::min(tiling.chunk, RoundUp(k, segment));
  return tiling;
}

GemvTiling TileInt8(int64_t n, int64_t k) {
  const int64_t segment = kLanes * (k % 16 == 0 ? 16 : 8);
  GemvTiling tiling = TileRows(n, k, segment, 0);
  tiling.chunk = RoundUp(k, segment * tiling.unroll);
  tiling.shared = 2 * RoundUp(k, segment);
  return tiling;
}

RingTiling TileRing(int64_t n, int64_t k, int64_t per_load) {
  const int64_t row_loads = k / per_load;
  if (row_loads * kLoadBytes < kLeastRingRow || n * row_loads * kLoadBytes < kLeastRingMatrix) {
    return {};
  }
  // The fewest parts, or a few more if no thread is idle then.
  const int64_t fewest = CeilDiv(row_loads, kMaxRingThreads * kMaxRingLoads);
  for (int64_t parts = fewest; parts <= 2 * fewest && parts <= row_loads; ++parts) {
    const RingTiling ring = TileParts(row_loads, parts, per_load);
    if (row_loads == parts * ring.threads * ring.loads) {
      return ring;
    }
  }
  return TileParts(row_loads, fewest, per_load);
}

}  // namespace dejavu
