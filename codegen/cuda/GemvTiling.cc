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

constexpr int64_t kLoadBytes = 16;
// Of a ring's block. Fewer warps have no time to wait for anything.
constexpr int64_t kLeastRingThreads = 96;
constexpr int64_t kMostRingThreads = 512;
// Of a thread, for each row: more would not leave the registers for what runs beside the ring.
constexpr int64_t kMostRingLoads = 3;
// All slots of a ring. It takes most of a multiprocessor's shared memory, so that there is one block on each; small
// blocks of other launches find room beside it.
constexpr int64_t kRingBytes = int64_t{200} * 1024;
constexpr int64_t kMostSlotBytes = int64_t{48} * 1024;
constexpr int64_t kMostSlotRows = 16;

/// A ring for rows in `parts` parts of whole loads, with `side` bytes beside each.
GemvTiling TileParts(int64_t row_loads, int64_t parts, int64_t per_load, int64_t side) {
  GemvTiling ring;
  const int64_t loads = CeilDiv(row_loads, parts);
  ring.chunk = loads * per_load;
  ring.unroll = CeilDiv(loads, kMostRingThreads);
  ring.threads = RoundUp(CeilDiv(loads, ring.unroll), kLanes);
  ring.rows = 1;
  while (ring.rows < kMostSlotRows && 2 * ring.rows * loads * kLoadBytes <= kMostSlotBytes) {
    ring.rows *= 2;
  }
  // Beside the rows there is room to start at any multiple of 16 modulo 128.
  const int64_t side_bytes = side == 0 ? 0 : RoundUp(ring.rows * side + 112, 128);
  const int64_t slot_bytes = ring.rows * loads * kLoadBytes + side_bytes;
  ring.slots = kRingBytes / slot_bytes;
  // Beside the slots: sums of 128 rows twice for each warp, a value of each warp twice, two barriers for each slot.
  const int64_t sums = 2 * (ring.threads / kLanes) * std::min<int64_t>(ring.threads, 128) * 4;
  ring.shared = RoundUp(ring.slots * slot_bytes + sums + 2 * kLanes * 4 + ring.slots * 16, 128);
  return ring;
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

GemvTiling TileIntegers(int64_t n, int64_t k, int64_t per_load, int64_t threads) {
  const int64_t segment = kLanes * per_load;
  GemvTiling tiling = TileRows(n, k, segment);
  tiling.threads = threads > 0 ? threads : tiling.threads;
  tiling.chunk = RoundUp(k, segment * tiling.unroll);
  tiling.shared = 2 * RoundUp(k, segment);
  return tiling;
}

std::optional<GemvTiling> TileRing(int64_t k, int64_t per_load, bool whole, int64_t side) {
  const int64_t row_loads = k / per_load;
  const int64_t fewest = CeilDiv(row_loads, kMostRingThreads * kMostRingLoads);
  if (k % per_load != 0 || row_loads < kLeastRingThreads || (whole && fewest > 1)) {
    return std::nullopt;
  }
  // The fewest parts, or a few more if no thread is idle then.
  for (int64_t parts = fewest; parts <= 2 * fewest && !whole; ++parts) {
    const GemvTiling ring = TileParts(row_loads, parts, per_load, side);
    if (row_loads == parts * ring.threads * ring.unroll) {
      return ring;
    }
  }
  return TileParts(row_loads, fewest, per_load, side);
}

}  // namespace dejavu
