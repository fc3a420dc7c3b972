// Products of rows with a vector: by plain loads, or through a ring where the device copies in bulk.
#include <optional>

#include "codegen/cuda/Describe.h"
#include "codegen/cuda/GemvTiling.h"
#include "codegen/target/KernelShapes.h"

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

ShapeText NormText(const Norm& norm) { return ShapeText("").Bool("on", norm.on).Float("epsilon", norm.epsilon); }

GemvTiling TileInt8For(std::string_view isa, int64_t n, int64_t k) {
  const std::optional<GemvTiling> ring = HasBulkCopies(isa) ? TileRing(k, 16, /*whole=*/true) : std::nullopt;
  return ring.value_or(TileInt8(n, k));
}

}  // namespace

CudaKernel Linear(const KernelSpec& spec, std::string_view isa) {
  const LinearShape s = MatchLinear(spec).value();
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

bool RingTakesPairs(const KernelSpec& spec, std::string_view isa) {
  GemvTiling tiling;
  int64_t width = 0;
  if (spec.kernel == "sparse_qkv") {
    const SparseQkvShape s = MatchSparseQkv(spec).value();
    width = s.width;
    tiling = TileFloatsFor(isa, 1, 3 * s.width, s.width, s.dtype, s.norm);
  } else if (spec.kernel == "linear") {
    const LinearShape s = MatchLinear(spec).value();
    width = s.k;
    tiling = TileFloatsFor(isa, TokensOf(s.tokens), s.n, s.k, s.dtype, s.norm);
  }
  // Before the first rows the vector goes through the memory of the sums, a byte of each column at a time.
  const int64_t sums = 2 * (tiling.threads / 32) * std::min<int64_t>(tiling.threads, 128) * 4;
  return tiling.slots > 0 && tiling.chunk == width && width % 16 == 0 && width <= sums &&
         DTypeSize(spec.operands[1]->dtype) == 2;
}

CudaKernel SparseFc1(const KernelSpec& spec, std::string_view isa) {
  const SparseFc1Shape s = MatchSparseFc1(spec).value();
  const GemvTiling tiling = TileFloatsFor(isa, 1, s.n, s.k, s.dtype, s.norm);
  return {"SparseFc1.cuh",
          "SparseFc1",
          {"x", "fc1", "bias", "active", "gamma", "beta", "h"},
          ShapeText("SparseFc1Shape")
              .Int("k", s.k)
              .Type("dtype", s.dtype)
              .Bool("early_list", s.early_list)
              .Nested("norm", NormText(s.norm))
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

/// For a product of rows of int8 with a vector that is rounded as a whole.
CudaKernel CertifiedTest(const KernelSpec& spec, std::string_view isa) {
  const CertifiedTestShape s = MatchCertifiedTest(spec).value();
  const GemvTiling tiling = TileInt8For(isa, s.n, s.k);
  return {"CertifiedTest.cuh",
          "CertifiedTest",
          {"x", "q8", "rows", "flags"},
          ShapeText("CertifiedTestShape").Int("n", s.n).Int("k", s.k).Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

CudaKernel SparseQkv(const KernelSpec& spec, std::string_view isa) {
  const SparseQkvShape s = MatchSparseQkv(spec).value();
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

CudaKernel SparseOut(const KernelSpec& spec, std::string_view /*isa*/) {
  const SparseOutShape s = MatchSparseOut(spec).value();
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
  const GemvTiling tiling = TileInt8(s.n, s.k, threads);
  return {"QuantizedLinear.cuh",
          "QuantizedLinear",
          {"x", "q8", "scales", "bias", "gamma", "beta", "y"},
          ShapeText("QuantizedLinearShape")
              .Int("n", s.n)
              .Int("k", s.k)
              .Bool("bias", s.bias)
              .Nested("norm", NormText(s.norm))
              .Nested("tiling", TilingText(tiling)),
          GridOfGemv(tiling, s.n)};
}

CudaKernel QuantizedLinear(const KernelSpec& spec, std::string_view /*isa*/) { return QuantizedLinearBy(spec, 0); }

}  // namespace dejavu::describe
