// Products of rows with the vectors of several sequences, by BatchGemv.cuh.
#include <algorithm>
#include <cmath>

#include "codegen/cuda/Describe.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu::describe {
namespace {

// A block of this many threads has 128 registers for each, which the sums of several vectors need.
constexpr int64_t kThreads = 512;
constexpr int64_t kWarps = kThreads / 32;
constexpr int64_t kRowsOfGroup = 4;
// Of shared memory, within the 163 KiB that a block has on sm_80, with what kernels keep for themselves: for the
// vectors, and for sums of groups by slice.
constexpr int64_t kVectorBytes = int64_t{124} * 1024;
constexpr int64_t kSumsOfSlices = 256;
// Of the devices that the numbers aim at.
constexpr int64_t kMultiprocessors = 132;

struct BatchTiling {
  int64_t slices = 1;
  int64_t chunk = 0;
  int64_t groups = 0;
  int64_t shared = 0;
};

int64_t NextPowerOfTwo(int64_t n) {
  int64_t power = 1;
  while (power < n) {
    power *= 2;
  }
  return power;
}

/// How well warps are used when `slices` of them share each of `groups` groups, `segments` loads wide, of a block: what
/// is left of rounds that are not full, and of the time in which sums are added up across lanes.
double Efficiency(double groups, int64_t segments, int64_t values, int64_t slices) {
  const int64_t whole_teams = kWarps / slices;
  const auto teams = static_cast<double>(whole_teams);
  const double rounds = groups / teams;
  const int64_t steps = CeilDiv(segments, slices);
  const double full = static_cast<double>(segments) / static_cast<double>(slices * steps);
  const auto work = static_cast<double>(steps * (values * 8 + 100));
  const auto sums = static_cast<double>(3 * values + 50);
  return full * rounds / std::ceil(rounds) * work / (work + sums);
}

/// For n rows, of which a warp reads `segment` columns at a time, and vectors with `column_bytes` of shared memory for
/// a column.
BatchTiling Tile(int64_t vectors, int64_t n, int64_t k, int64_t segment, int64_t column_bytes) {
  BatchTiling tiling;
  const int64_t most = kVectorBytes / (vectors * column_bytes) / segment * segment;
  const int64_t chunks = CeilDiv(k, most);
  tiling.chunk = CeilDiv(CeilDiv(k, chunks), segment) * segment;
  const int64_t values = kRowsOfGroup * NextPowerOfTwo(vectors);
  const double groups =
      std::max(1.0, static_cast<double>(CeilDiv(n, kRowsOfGroup)) / static_cast<double>(kMultiprocessors));
  double best = 0;
  for (int64_t slices = 1; slices <= 8; slices *= 2) {
    const double efficiency = Efficiency(groups, tiling.chunk / segment, values, slices);
    if (efficiency > best) {
      best = efficiency;
      tiling.slices = slices;
    }
  }
  tiling.groups = kSumsOfSlices / tiling.slices;
  tiling.shared = tiling.chunk * vectors * column_bytes + kSumsOfSlices * values * 4;
  return tiling;
}

BatchTiling TileBatchFloats(int64_t vectors, int64_t n, int64_t k, DType dtype) {
  return Tile(vectors, n, k, 32 * PerLoad(dtype), 4);
}

BatchTiling TileBatchInt8(int64_t vectors, int64_t n, int64_t k) {
  return Tile(vectors, n, k, k % 16 == 0 ? 512 : 256, 2);
}

ShapeText TilingText(const BatchTiling& tiling) {
  return ShapeText("")
      .Int("threads", kThreads)
      .Int("rows", kRowsOfGroup)
      .Int("slices", tiling.slices)
      .Int("chunk", tiling.chunk)
      .Int("groups", tiling.groups)
      .Int("shared", tiling.shared);
}

LaunchGrid GridOf(const BatchTiling& tiling, int64_t rows) {
  return {
      .blocks = CeilDiv(rows, kRowsOfGroup), .per_sm = 1, .threads = kThreads, .shared = tiling.shared, .early = true};
}

// Of the rows that a list may name, so many are taken to be in it.
constexpr int64_t kListedShare = 3;

}  // namespace

CudaKernel BatchLinear(const KernelSpec& spec) {
  const LinearShape s = MatchLinear(spec).value();
  const BatchTiling tiling = TileBatchFloats(TokensOf(s.tokens), s.n, s.k, s.dtype);
  return {"BatchProducts.cuh",
          "BatchLinear",
          {"x", "w", "bias", "residual", "gamma", "beta", "y"},
          ShapeText("BatchLinearShape")
              .Int("vectors", TokensOf(s.tokens))
              .Int("n", s.n)
              .Int("k", s.k)
              .Type("dtype", s.dtype)
              .Bool("bias", s.bias)
              .Bool("residual", s.residual)
              .Bool("relu", s.relu)
              .Nested("tiling", TilingText(tiling)),
          GridOf(tiling, s.n)};
}

CudaKernel BatchFc1(const KernelSpec& spec) {
  const SparseFc1Shape s = MatchSparseFc1(spec).value();
  const BatchTiling tiling = TileBatchFloats(s.tokens, CeilDiv(s.n, kListedShare), s.k, s.dtype);
  return {"BatchProducts.cuh",
          "BatchFc1",
          {"x", "fc1", "bias", "active", "gamma", "beta", "h"},
          ShapeText("BatchFc1Shape")
              .Int("vectors", s.tokens)
              .Int("n", s.n)
              .Int("k", s.k)
              .Type("dtype", s.dtype)
              .Bool("early_list", s.early_list)
              .Nested("tiling", TilingText(tiling)),
          GridOf(tiling, s.n)};
}

CudaKernel BatchFc2(const KernelSpec& spec) {
  const SparseFc2Shape s = MatchSparseFc2(spec).value();
  LaunchGrid grid{.per_sm = 2, .threads = 256, .early = true};
  // As of sparse_fc2 for one token: a warp reads 512 bytes of a row.
  const int64_t tiles = CeilDiv(s.width, 32 * PerLoad(s.dtype));
  const int64_t splits = SplitFc2(s, tiles, kManyBlocks, grid);
  return {"BatchFc2.cuh",
          "BatchFc2",
          {"h", "active", "fc2t", "bias", "residual", "y"},
          ShapeText("BatchFc2Shape")
              .Int("vectors", s.tokens)
              .Int("width", s.width)
              .Type("dtype", s.dtype)
              .Bool("residual", s.residual)
              .Int("threads", grid.threads)
              .Int("splits", splits),
          grid};
}

CudaKernel BatchTest(const KernelSpec& spec) {
  const CertifiedTestShape s = MatchCertifiedTest(spec).value();
  const BatchTiling tiling = TileBatchInt8(s.tokens, s.n, s.k);
  return {"BatchPredictors.cuh",
          "BatchTest",
          {"x", "q8", "rows", "flags"},
          ShapeText("BatchTestShape")
              .Int("vectors", s.tokens)
              .Int("n", s.n)
              .Int("k", s.k)
              .Nested("tiling", TilingText(tiling)),
          GridOf(tiling, s.n)};
}

CudaKernel BatchQkv(const KernelSpec& spec) {
  const SparseQkvShape s = MatchSparseQkv(spec).value();
  const BatchTiling tiling = TileBatchFloats(s.tokens, 3 * s.width, s.width, s.dtype);
  return {"BatchProducts.cuh",
          "BatchQkv",
          {"x", "w", "bias", "heads", "gamma", "beta", "y"},
          ShapeText("BatchQkvShape")
              .Int("vectors", s.tokens)
              .Int("width", s.width)
              .Int("head_dim", s.head_dim())
              .Type("dtype", s.dtype)
              .Bool("bias", s.bias)
              .Bool("early_list", s.early_list)
              .Nested("tiling", TilingText(tiling)),
          GridOf(tiling, 3 * s.width)};
}

CudaKernel BatchOut(const KernelSpec& spec) {
  const SparseOutShape s = MatchSparseOut(spec).value();
  const BatchTiling tiling = TileBatchFloats(s.tokens, s.n, s.k, s.dtype);
  return {"BatchProducts.cuh",
          "BatchOut",
          {"x", "w", "bias", "residual", "heads", "y"},
          ShapeText("BatchOutShape")
              .Int("vectors", s.tokens)
              .Int("n", s.n)
              .Int("k", s.k)
              .Int("head_dim", s.head_dim())
              .Type("dtype", s.dtype)
              .Bool("bias", s.bias)
              .Bool("residual", s.residual)
              .Nested("tiling", TilingText(tiling)),
          GridOf(tiling, s.n)};
}

CudaKernel BatchQuantized(const KernelSpec& spec) {
  const QuantizedLinearShape s = MatchQuantizedLinear(spec).value();
  const BatchTiling tiling = TileBatchInt8(s.tokens, s.n, s.k);
  return {"BatchPredictors.cuh",
          "BatchQuantized",
          {"x", "q8", "scales", "bias", "gamma", "beta", "y"},
          ShapeText("BatchQuantizedShape")
              .Int("vectors", s.tokens)
              .Int("n", s.n)
              .Int("k", s.k)
              .Bool("bias", s.bias)
              .Nested("tiling", TilingText(tiling)),
          GridOf(tiling, s.n)};
}

}  // namespace dejavu::describe
