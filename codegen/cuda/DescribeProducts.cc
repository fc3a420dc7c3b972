// Products of rows with a vector: by plain loads, or through a ring where the device copies in bulk.
#include <algorithm>
#include <optional>

#include "codegen/cuda/Describe.h"
#include "codegen/cuda/GemvTiling.h"
#include "codegen/target/KernelShapes.h"
#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"

namespace dejavu::describe {
namespace {

/// Whether devices of `isa` copy from memory to shared memory in bulk.
bool HasBulkCopies(std::string_view isa) { return isa != "sm_80"; }

/// A grid of warps that share `rows` rows, or of a ring for each multiprocessor.
LaunchGrid GridOfGemv(const GemvTiling& tiling, int64_t rows) {
  const int64_t rows_of_block = tiling.threads / 32 * tiling.rows;
  LaunchGrid grid{.shared = tiling.shared, .early = true};
  grid.blocks = tiling.slots > 0 ? rows : CeilDiv(rows, rows_of_block);
  grid.per_sm = tiling.slots > 0 ? 1 : kThreadsPerSm / tiling.threads;
  grid.threads = tiling.threads + (tiling.slots > 0 ? 32 : 0);
  return grid;
}

ShapeText TilingText(const GemvTiling& tiling) {
  return ShapeText("")
      .Int("threads", tiling.threads)
      .Int("rows", tiling.rows)
      .Int("unroll", tiling.unroll)
      .Int("chunk", tiling.chunk)
      .Int("slots", tiling.slots)
      .Int("shared", tiling.shared);
}

/// For a product of rows with a vector of floats, which a ring normalises only if it has all of it at once.
GemvTiling TileFloatsFor(std::string_view isa, int64_t tokens, int64_t n, int64_t k, DType dtype, const Norm& norm) {
  const int64_t per_load = PerLoad(dtype);
  const bool ring = HasBulkCopies(isa) && tokens == 1;
  return (ring ? TileRing(k, per_load, norm.on) : std::nullopt).value_or(TileFloats(n, k, per_load));
}

/// Vectors that a row is multiplied with at a time. The threads of a ring have their columns of all of them in
/// registers, and the sums of a slot's rows with each, 32 at most.
int64_t LazyVectors(const GemvTiling& tiling, DType dtype) {
  constexpr int64_t kRegisters = 65536;
  constexpr int64_t kOtherRegisters = 18;  // in the inner loop
  if (tiling.slots == 0) {
    return 4;
  }
  const int64_t warps = CeilDiv(tiling.threads / 32 + 1, 4) * 4;  // those of a quarter of a multiprocessor, four times
  const int64_t registers = kRegisters / (32 * warps) / 8 * 8;
  const int64_t fit = (registers - kOtherRegisters) / (tiling.unroll * PerLoad(dtype) + tiling.rows);
  return std::clamp<int64_t>(fit, 2, std::min<int64_t>(8, 32 / tiling.rows));
}

/// A ring where registers have room for whole vectors.
GemvTiling TileLazy(std::string_view isa, const LazyQkvShape& s) {
  const GemvTiling tiling = TileFloatsFor(isa, 1, 3 * s.width, s.width, s.dtype, s.norm);
  return tiling.slots > 0 && tiling.chunk == s.width ? tiling : TileFloats(3 * s.width, s.width, PerLoad(s.dtype));
}

ShapeText NormText(const Norm& norm) { return ShapeText("").Bool("on", norm.on).Float("epsilon", norm.epsilon); }

GemvTiling TileInt8For(std::string_view isa, int64_t n, int64_t k) {
  const std::optional<GemvTiling> ring = HasBulkCopies(isa) ? TileRing(k, 16, /*whole=*/true) : std::nullopt;
  return ring.value_or(TileInt8(n, k));
}

/// A ring for copies of one plane whose groups are whole and as many as a bulk copy wants, which come for neighbours
/// alone: rows of a list do not. All others by plain loads,
/// with x in shared memory once for each kind of plane, and a sum for each group.
GemvTiling TileCopyFor(std::string_view isa, const QuantizedTestShape& s) {
  const CopyPlane first = CopyPlaneOf(s.bits, 0);
  const CopyPlane second = CopyPlaneOf(s.bits, 1);
  const int64_t groups = CopyGroups(s.k, s.group);
  const bool rings = !s.among && second.bits == 0 && s.k % s.group == 0 && groups % 16 == 0 && HasBulkCopies(isa);
  if (rings) {
    const std::optional<GemvTiling> ring = TileRing(s.k, first.block_columns(), /*whole=*/true, groups);
    // More columns in a thread would not leave registers.
    if (ring.has_value() && ring->unroll * first.block_columns() <= 64) {
      return *ring;
    }
  }
  GemvTiling tiling = TileInt8(s.n, s.k);
  tiling.rows = 1;
  tiling.shared = first.bytes(s.k) * 8 / first.bits + 4 * groups;
  if (second.bits > 0 && second.bits != first.bits) {
    tiling.shared += second.bytes(s.k) * 8 / second.bits;
  }
  return tiling;
}

}  // namespace

CudaKernel Linear(const KernelSpec& spec, std::string_view isa) {
  const LinearShape s = MatchLinear(spec).value();
  if (IsBatch(TokensOf(s.tokens))) {
    return BatchLinear(spec);
  }
  const GemvTiling tiling = TileFloatsFor(isa, TokensOf(s.tokens), s.n, s.k, s.dtype, s.norm);
  return {"Linear.cuh",
          "Linear",
          {"x", "w", "bias", "residual", "gamma", "beta", "y"},
          ShapeText("LinearShape")
              .Int("tokens", TokensOf(s.tokens))
              .Int("n", s.n)
              .Int("k", s.k)
              .Type("dtype", s.dtype)
              .Bool("bias", s.bias)
              .Bool("residual", s.residual)
              .Bool("relu", s.relu)
              .Nested("norm", NormText(s.norm))
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

bool RingTakesSeveral(const KernelSpec& spec, int64_t rows, std::string_view isa) {
  GemvTiling tiling;
  int64_t width = 0;
  if (spec.kernel == "sparse_qkv") {
    const SparseQkvShape s = MatchSparseQkv(spec).value();
    width = s.width;
    tiling = TileFloatsFor(isa, 1, 3 * s.width, s.width, s.dtype, s.norm);
  } else if (spec.kernel == "lazy_qkv") {
    const LazyQkvShape s = MatchLazyQkv(spec).value();
    width = s.width;
    tiling = TileLazy(isa, s);
  } else if (spec.kernel == "linear") {
    const LinearShape s = MatchLinear(spec).value();
    width = s.k;
    tiling = TileFloatsFor(isa, TokensOf(s.tokens), s.n, s.k, s.dtype, s.norm);
  }
  // Before the first rows the vector goes through the memory of the sums, a byte of each column at a time.
  const int64_t sums = 2 * (tiling.threads / 32) * std::min<int64_t>(tiling.threads, 128) * 4;
  return tiling.slots > 0 && tiling.chunk == width && width % (8 * rows) == 0 && width <= sums &&
         rows * tiling.rows <= 32 && DTypeSize(spec.operands[1]->dtype) == 2;
}

CudaKernel SparseFc1(const KernelSpec& spec, std::string_view isa) {
  const SparseFc1Shape s = MatchSparseFc1(spec).value();
  if (IsBatch(s.tokens)) {
    return BatchFc1(spec);
  }
  const GemvTiling tiling = TileFloatsFor(isa, 1, s.n, s.k, s.dtype, s.norm);
  return {"SparseFc1.cuh",
          "SparseFc1",
          {"x", "fc1", "bias", "active", "gamma", "beta", "h"},
          ShapeText("SparseFc1Shape")
              .Int("n", s.n)
              .Int("k", s.k)
              .Type("dtype", s.dtype)
              .Bool("early_list", s.early_list)
              .Nested("norm", NormText(s.norm))
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

namespace {

/// sparse_fc2 by plain loads: a warp has a tile of one load each lane.
CudaKernel PlainFc2(const SparseFc2Shape& s) {
  LaunchGrid grid{.per_sm = 2, .threads = kThreadsPerSm / 2, .early = true};
  int64_t most_blocks = kManyBlocks;
  if (s.early_list) {
    // Reads early, and leaves room for the ring of the next launch.
    grid = {.per_sm = 1, .threads = 384, .early = true};
    most_blocks = kManyBlocks / 2;
  }
  const int64_t tile = 32 * PerLoad(s.dtype);
  const int64_t tiles = CeilDiv(s.width, tile);
  const int64_t splits = SplitFc2(s, tiles, most_blocks, grid);
  return {"SparseFc2.cuh",
          "SparseFc2",
          {"h", "active", "fc2t", "bias", "residual", "y"},
          ShapeText("SparseFc2Shape")
              .Int("width", s.width)
              .Type("dtype", s.dtype)
              .Bool("residual", s.residual)
              .Bool("early_list", s.early_list)
              .Int("threads", grid.threads)
              .Int("tile", tile)
              .Int("splits", splits),
          grid};
}

/// sparse_fc2 through a ring for each multiprocessor.
CudaKernel RingFc2(const SparseFc2Shape& s) {
  constexpr int64_t kTiles = 8;  // pieces of rows are long enough then, and few sums are left to add up
  constexpr int64_t kMostThreads = 512;
  constexpr int64_t kRingBytes = int64_t{200} * 1024;
  constexpr int64_t kMostSlotBytes = int64_t{48} * 1024;
  constexpr int64_t kMostSlots = 64;
  const int64_t per_load = PerLoad(s.dtype);
  const int64_t loads = std::min(CeilDiv(CeilDiv(s.width, kTiles), per_load), kMostThreads);
  const int64_t tile = loads * per_load;
  const int64_t tiles = CeilDiv(s.width, tile);
  const int64_t groups = std::clamp<int64_t>(kMostThreads / loads, 1, 8);
  const int64_t threads = WholeWarps(groups * loads);
  // Giving a slot back takes all threads a while, so few large ones are better.
  int64_t rows = 32;
  while (rows > 1 && rows * loads * 16 > kMostSlotBytes) {
    rows /= 2;
  }
  const int64_t slot_bytes = rows * loads * 16;
  const int64_t slots = std::min(kRingBytes / slot_bytes, kMostSlots);
  // The kernel counts groups by its threads, of which the last warp may have some more.
  const int64_t shared = slots * (slot_bytes + 16) + threads / loads * tile * 4 + threads * 4;
  LaunchGrid grid{.per_sm = 1, .threads = threads + 32, .shared = shared, .early = true};
  const int64_t splits = SplitFc2(s, tiles, kManyBlocks / 2, grid);
  return {"RingFc2.cuh",
          "RingFc2",
          {"h", "active", "fc2t", "bias", "residual", "y"},
          ShapeText("SparseFc2Shape")
              .Int("width", s.width)
              .Type("dtype", s.dtype)
              .Bool("residual", s.residual)
              .Bool("early_list", s.early_list)
              .Int("threads", threads)
              .Int("tile", tile)
              .Int("splits", splits)
              .Int("rows", rows)
              .Int("slots", slots),
          grid};
}

}  // namespace

int64_t SplitFc2(const SparseFc2Shape& shape, int64_t tiles, int64_t most_blocks, LaunchGrid& grid) {
  // A block is worth it for a few rows for each warp.
  const int64_t splits = std::clamp<int64_t>(most_blocks / tiles, 1, CeilDiv(shape.n, 64));
  grid.blocks = tiles * splits;
  grid.scratch = splits > 1 ? kScratchCounterBytes + splits * shape.tokens * shape.width * 4 : 0;
  return splits;
}

CudaKernel SparseFc2(const KernelSpec& spec, std::string_view isa) {
  const SparseFc2Shape s = MatchSparseFc2(spec).value();
  if (IsBatch(s.tokens)) {
    return BatchFc2(spec);
  }
  // Short rows come sooner by plain loads, and their blocks leave room for the ring of the next launch.
  constexpr int64_t kLeastRowBytes = int64_t{12} * 1024;
  const bool is_long = s.width * static_cast<int64_t>(DTypeSize(s.dtype)) >= kLeastRowBytes;
  return s.early_list && is_long && HasBulkCopies(isa) ? RingFc2(s) : PlainFc2(s);
}

/// For a product of rows of int8 with a vector that is rounded as a whole.
CudaKernel CertifiedTest(const KernelSpec& spec, std::string_view isa) {
  const CertifiedTestShape s = MatchCertifiedTest(spec).value();
  if (IsBatch(s.tokens)) {
    return BatchTest(spec);
  }
  const GemvTiling tiling = TileInt8For(isa, s.n, s.k);
  return {"CertifiedTest.cuh",
          "CertifiedTest",
          {"x", "q8", "rows", "flags"},
          ShapeText("CertifiedTestShape").Int("n", s.n).Int("k", s.k).Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

CudaKernel SparseQkv(const KernelSpec& spec, std::string_view isa) {
  const SparseQkvShape s = MatchSparseQkv(spec).value();
  if (IsBatch(s.tokens)) {
    return BatchQkv(spec);
  }
  const GemvTiling tiling = TileFloatsFor(isa, 1, 3 * s.width, s.width, s.dtype, s.norm);
  return {"SparseQkv.cuh",
          "SparseQkv",
          {"x", "w", "bias", "heads", "gamma", "beta", "y"},
          ShapeText("SparseQkvShape")
              .Int("width", s.width)
              .Int("head_dim", s.head_dim())
              .Type("dtype", s.dtype)
              .Bool("bias", s.bias)
              .Bool("early_list", s.early_list)
              .Nested("norm", NormText(s.norm))
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, 3 * s.width)};
}

CudaKernel LazyQkv(const KernelSpec& spec, std::string_view isa) {
  const LazyQkvShape s = MatchLazyQkv(spec).value();
  const GemvTiling tiling = TileLazy(isa, s);
  return {"LazyQkv.cuh",
          "LazyQkv",
          {"x", "w", "bias", "heads", "cache", "inputs", "filled", "gamma", "beta", "y", "new_cache", "new_inputs"},
          ShapeText("LazyQkvShape")
              .Int("width", s.width)
              .Int("heads", s.heads)
              .Int("positions", s.positions)
              .Type("dtype", s.dtype)
              .Bool("bias", s.bias)
              .Bool("early_list", s.early_list)
              .Int("vectors", LazyVectors(tiling, s.dtype))
              .Nested("norm", NormText(s.norm))
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, 3 * s.width)};
}

CudaKernel SparseOut(const KernelSpec& spec, std::string_view /*isa*/) {
  const SparseOutShape s = MatchSparseOut(spec).value();
  if (IsBatch(s.tokens)) {
    return BatchOut(spec);
  }
  const GemvTiling tiling = TileFloats(s.n, s.k, PerLoad(s.dtype));
  return {"SparseOut.cuh",
          "SparseOut",
          {"x", "w", "bias", "residual", "heads", "y"},
          ShapeText("SparseOutShape")
              .Int("n", s.n)
              .Int("k", s.k)
              .Int("head_dim", s.head_dim())
              .Type("dtype", s.dtype)
              .Bool("bias", s.bias)
              .Bool("residual", s.residual)
              .Bool("early_list", s.early_list)
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

CudaKernel QuantizedLinearBy(const KernelSpec& spec, int64_t threads) {
  // No ring: alone it runs beside the rings of attention, which leave no room for another.
  const QuantizedLinearShape s = MatchQuantizedLinear(spec).value();
  if (IsBatch(s.tokens)) {
    return BatchQuantized(spec);
  }
  const GemvTiling tiling = s.bits == 4 ? TileIntegers(s.n, s.k, kPackedColumns, threads) : TileInt8(s.n, s.k, threads);
  return {"QuantizedLinear.cuh",
          "QuantizedLinear",
          {"x", "q8", "scales", "bias", "gamma", "beta", "y"},
          ShapeText("QuantizedLinearShape")
              .Int("n", s.n)
              .Int("k", s.k)
              .Int("bits", s.bits)
              .Bool("bias", s.bias)
              .Nested("norm", NormText(s.norm))
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

CudaKernel QuantizedLinear(const KernelSpec& spec, std::string_view /*isa*/) { return QuantizedLinearBy(spec, 0); }

CudaKernel QuantizedTest(const KernelSpec& spec, std::string_view isa) {
  const QuantizedTestShape s = MatchQuantizedTest(spec).value();
  const GemvTiling tiling = TileCopyFor(isa, s);
  return {"QuantizedTest.cuh",
          "QuantizedTest",
          {"x", "copy", "scales", "rows", "among", "gamma", "beta", "flags"},
          ShapeText("QuantizedTestShape")
              .Int("n", s.n)
              .Int("k", s.k)
              .Int("bits", s.bits)
              .Int("group", s.group)
              .Int("levels", CopyLevels(s.bits, s.k))
              .Float("margin", s.margin)
              .Bool("among", s.among)
              .Nested("norm", NormText(s.norm))
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

}  // namespace dejavu::describe
