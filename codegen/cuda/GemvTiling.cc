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

constexpr int64_t kLoadBytes = 16;
// Of a ring's block. Fewer warps have no time to wait for anything.
constexpr int64_t kLeastRingThreads = 96;
constexpr int64_t kMostRingThreads = 512;
// Of a thread, for each row: more would not leave the registers for what runs beside the ring.
constexpr int64_t kMostRingLoads = 3;
// All slots of a ring. It takes most of a multiprocessor's shared memory, so that there is one block on each; small
// blocks of other launches find room beside it.
constexpr int64_t kRingBytes = 200 * 1024;
constexpr int64_t kMostSlotBytes = 48 * 1024;
constexpr int64_t kMostSlotRows = 16;

/// A ring for rows in `parts` parts of whole loads.
GemvTiling TileParts(int64_t row_loads, int64_t parts, int64_t per_load) {
  GemvTiling ring;
  const int64_t loads = CeilDiv(row_loads, parts);
  ring.chunk = loads * per_load;
  ring.unroll = CeilDiv(loads, kMostRingThreads);
  ring.threads = RoundUp(CeilDiv(loads, ring.unroll), kLanes);
  ring.rows = 1;
  while (ring.rows < kMostSlotRows && 2 * ring.rows * loads * kLoadBytes <= kMostSlotBytes) {
    ring.rows *= 2;
  }
  const int64_t slot_bytes = ring.rows * loads * kLoadBytes;
  ring.slots = kRingBytes / slot_bytes;
  // Beside the slots: sums of 128 rows twice for each warp, a value of each warp twice, two barriers for each slot.
  const int64_t sums = 2 * (ring.threads / kLanes) * std::min<int64_t>(ring.threads, 128) * 4;
  ring.shared = RoundUp(ring.slots * slot_bytes + sums + 2 * kLanes * 4 + ring.slots * 16, 128);
  return ring;
}

// Multiprocessors that a ring's sum of rows aims at. All of them have to have work, and equally much: that is worth a
// kilobyte or two less in a row's piece, or a few more sums to add up in the end.
constexpr int64_t kMultiprocessors = 132;
// Loads of the smallest piece of a row, and of what pieces are made of: copies are best aligned to 128 bytes.
constexpr int64_t kLeastPieceLoads = 64;
constexpr int64_t kPieceStep = 8;
constexpr int64_t kMostSplits = 33;
// A block is worth it for so many rows.
constexpr int64_t kLeastRowsOfBlock = 64;
constexpr int64_t kRowsOfSumSlot = 16;
// Of a ring, to fill before it is known which rows are needed: about what comes while one launch ends and the next one
// gets going. Some of it comes in vain.
constexpr int64_t kAheadBytes = 80 * 1024;

/// How well `tiles` tiles of `loads` loads use the multiprocessors, less what many sums of each tile cost.
double RowSumScore(int64_t row_loads, int64_t tiles, int64_t loads, int64_t splits) {
  const auto work = static_cast<double>(row_loads) / static_cast<double>(tiles * loads);
  return work * static_cast<double>(tiles * splits) / kMultiprocessors - 0.003 * static_cast<double>(splits);
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

std::optional<GemvTiling> TileRing(int64_t k, int64_t per_load, bool whole) {
  const int64_t row_loads = k / per_load;
  const int64_t fewest = CeilDiv(row_loads, kMostRingThreads * kMostRingLoads);
  if (k % per_load != 0 || row_loads < kLeastRingThreads || (whole && fewest > 1)) {
    return std::nullopt;
  }
  // The fewest parts, or a few more if no thread is idle then.
  for (int64_t parts = fewest; parts <= 2 * fewest && !whole; ++parts) {
    const GemvTiling ring = TileParts(row_loads, parts, per_load);
    if (row_loads == parts * ring.threads * ring.unroll) {
      return ring;
    }
  }
  return TileParts(row_loads, fewest, per_load);
}

RowSumTiling TileRowSum(int64_t n, int64_t width, int64_t per_load) {
  RowSumTiling tiling;
  tiling.threads = 512;
  tiling.tile = kLanes * per_load;
  tiling.splits = std::clamp<int64_t>(kManyBlocks / CeilDiv(width, tiling.tile), 1, CeilDiv(n, kLeastRowsOfBlock));
  return tiling;
}

std::optional<RowSumTiling> TileRowSumRing(int64_t n, int64_t width, int64_t per_load) {
  const int64_t row_loads = width / per_load;
  if (width % per_load != 0 || row_loads < 2 * kLeastPieceLoads) {
    return std::nullopt;
  }
  RowSumTiling ring;
  int64_t piece = 0;
  double best = 0;
  for (int64_t loads = kLeastPieceLoads; loads <= kMostRingThreads; loads += kPieceStep) {
    const int64_t tiles = CeilDiv(row_loads, loads);
    const int64_t splits =
        std::clamp<int64_t>(kMultiprocessors / tiles, 1, std::min(kMostSplits, CeilDiv(n, kLeastRowsOfBlock)));
    const double score = RowSumScore(row_loads, tiles, loads, splits);
    if (piece == 0 || score > best) {
      best = score;
      piece = loads;
      ring.splits = splits;
    }
  }
  ring.tile = piece * per_load;
  const int64_t teams = std::min(kMostRingThreads / piece, kRowsOfSumSlot);
  ring.threads = RoundUp(teams * piece, kLanes);
  ring.rows = kRowsOfSumSlot;
  const int64_t slot_bytes = ring.rows * piece * kLoadBytes;
  ring.slots = kRingBytes / slot_bytes;
  // Whole batches of the lanes that copy.
  const int64_t batch = kLanes / ring.rows;
  ring.ahead = std::max(kAheadBytes / slot_bytes / batch * batch, batch);
  // Beside the slots: the teams' sums, and for each slot its h, their number and two barriers.
  ring.shared =
      RoundUp(ring.slots * (slot_bytes + 4 * ring.rows + 4 + 16) + ring.threads / piece * ring.tile * 4 + 16, 128);
  return ring;
}

}  // namespace dejavu
