// The kernels of the CUDA target: which template each spec instantiates, and how its launch is cut. The numbers aim at
// GPUs of 100 to 150 multiprocessors; every kernel is right for any number of blocks.
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "codegen/cuda/CudaBackend.h"
#include "codegen/cuda/CudaSource.h"
#include "codegen/cuda/Describe.h"
#include "codegen/cuda/GemvTiling.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu {
namespace {

using describe::kMaxBlocksOfRows;
using describe::kThreadsPerSm;
using describe::PerLoad;
using describe::TokensOf;
using describe::WholeWarps;

// What the registers have room for beside a block of a ring.
constexpr int64_t kThreadsBesideRing = 512;
// The widest head whose part of K, V and y fits the registers of a warp.
constexpr int64_t kMaxHeadDim = 1024;

/// A grid for `count` independent pieces of work for each token, one thread for each.
LaunchGrid GridOfPieces(int64_t tokens, int64_t count) {
  LaunchGrid grid;
  grid.threads = std::min<int64_t>(WholeWarps(count), 256);
  grid.per_sm = kThreadsPerSm / 256;
  grid.blocks = tokens > 0 ? std::min(CeilDiv(tokens * count, grid.threads), kMaxBlocksOfRows) : kMaxBlocksOfRows;
  grid.early = true;
  return grid;
}

CudaKernel EmbedTokens(const KernelSpec& spec, std::string_view /*isa*/) {
  const EmbedTokensShape s = MatchEmbedTokens(spec).value();
  const int64_t tokens = TokensOf(s.tokens);
  return {"Rows.cuh",
          "EmbedTokens",
          {"tokens", "table", "y"},
          ShapeText("EmbedTokensShape").Int("tokens", tokens).Int("width", s.width).Type("dtype", s.dtype),
          GridOfPieces(tokens, s.width / PerLoad(s.dtype))};
}

CudaKernel EmbedPositions(const KernelSpec& spec, std::string_view /*isa*/) {
  const EmbedPositionsShape s = MatchEmbedPositions(spec).value();
  const int64_t tokens = TokensOf(s.tokens);
  return {"Rows.cuh",
          "EmbedPositions",
          {"x", "table", "y"},
          ShapeText("EmbedPositionsShape")
              .Int("tokens", tokens)
              .Int("width", s.width)
              .Int("offset", s.offset)
              .Type("dtype", s.dtype)
              .Bool("batch", s.batch),
          GridOfPieces(tokens, s.width / PerLoad(s.dtype))};
}

CudaKernel Add(const KernelSpec& spec, std::string_view /*isa*/) {
  const RowsShape s = MatchAdd(spec).value();
  const int64_t tokens = TokensOf(s.tokens);
  return {"Rows.cuh",
          "Add",
          {"a", "b", "y"},
          ShapeText("RowsShape").Int("tokens", tokens).Int("width", s.width),
          GridOfPieces(tokens, s.width / 4)};
}

CudaKernel LastRow(const KernelSpec& spec, std::string_view /*isa*/) {
  const RowsShape s = MatchLastRow(spec).value();
  return {"Rows.cuh",
          "LastRow",
          {"x", "y"},
          ShapeText("RowsShape").Int("tokens", TokensOf(s.tokens)).Int("width", s.width),
          GridOfPieces(1, s.width / 4)};
}

CudaKernel LayerNorm(const KernelSpec& spec, std::string_view /*isa*/) {
  const LayerNormShape s = MatchLayerNorm(spec).value();
  const int64_t tokens = TokensOf(s.tokens);
  const LaunchGrid grid{.blocks = tokens > 0 ? std::min(tokens, kMaxBlocksOfRows) : kMaxBlocksOfRows,
                        .per_sm = 1,
                        .threads = std::min(WholeWarps(s.width / 4), kThreadsBesideRing),
                        .early = true};
  return {"LayerNorm.cuh",
          "LayerNorm",
          {"x", "gamma", "beta", "y"},
          ShapeText("LayerNormShape")
              .Int("tokens", tokens)
              .Int("width", s.width)
              .Float("epsilon", s.epsilon)
              .Int("threads", grid.threads),
          grid};
}

CudaKernel Compact(const KernelSpec& spec, std::string_view /*isa*/) {
  const CompactShape s = MatchCompact(spec).value();
  const LaunchGrid grid{.blocks = 1, .threads = WholeWarps(CeilDiv(s.n, 16)), .early = true};
  return {"Compact.cuh",
          s.among ? "CompactAmong" : "Compact",
          {"flags", "among", "active"},
          ShapeText("CompactShape").Int("n", s.n).Int("threads", grid.threads),
          grid};
}

/// Kernels count in int, and addresses in 64 bits.
absl::Status SizeLimits(const KernelSpec& spec) {
  constexpr int64_t kMaxSize = 1 << 30;
  const auto check = [&](const Type& type) {
    for (const Dim& dim : type.shape) {
      if (dim.is_static() && dim.size() > kMaxSize) {
        return absl::UnimplementedError(
            absl::StrCat("kernel '", spec.kernel, "': dimensions must be at most 2^30 on cuda, not ", dim.size()));
      }
    }
    return absl::OkStatus();
  };
  for (const std::optional<Type>& operand : spec.operands) {
    if (operand.has_value()) {
      RETURN_IF_ERROR(check(*operand));
    }
  }
  for (const Type& result : spec.results) {
    RETURN_IF_ERROR(check(result));
  }
  return absl::OkStatus();
}

absl::Status AttentionLimits(const KernelSpec& spec) {
  const AttentionShape s = MatchAttention(spec).value();
  if (s.head_dim > kMaxHeadDim) {
    return absl::UnimplementedError(absl::StrCat("kernel '", spec.kernel, "': the head width must be at most ",
                                                 kMaxHeadDim, " on cuda, not ", s.head_dim));
  }
  return std::isfinite(s.scale) ? absl::OkStatus()
                                : absl::UnimplementedError(absl::StrCat("kernel '", spec.kernel,
                                                                        "': attribute scale must be finite on cuda"));
}

CudaKernel Argmax(const KernelSpec& spec, std::string_view /*isa*/) {
  const ArgmaxShape s = MatchArgmax(spec).value();
  const int64_t n = s.n;
  const LaunchGrid grid{.blocks = s.tokens, .threads = WholeWarps(CeilDiv(n, 4)), .early = true};
  return {"Argmax.cuh",
          "Argmax",
          {"logits", "choice"},
          ShapeText("ArgmaxShape").Int("tokens", s.tokens).Int("n", n).Int("threads", grid.threads),
          grid};
}

/// For kernels that have all of a vector of `k` columns in shared memory.
absl::Status SharedVectorLimits(const KernelSpec& spec, int64_t k) {
  if (TileFloats(1, k, 4).chunk < k) {
    return absl::UnimplementedError(
        absl::StrCat("kernel '", spec.kernel, "': the width ", k, " does not fit the shared memory on cuda"));
  }
  return absl::OkStatus();
}

absl::Status SparseOutLimits(const KernelSpec& spec) {
  return SharedVectorLimits(spec, MatchSparseOut(spec).value().k);
}

absl::Status LazyQkvLimits(const KernelSpec& spec) {
  const LazyQkvShape s = MatchLazyQkv(spec).value();
  RETURN_IF_ERROR(SharedVectorLimits(spec, s.width));
  // LazyRows.cuh adds up rows' costs in 32 bits, and keeps some words for each head beside a ring.
  constexpr int64_t kMostOfRow = 8;
  constexpr int64_t kMostHeads = 256;
  if (s.heads > kMostHeads || 3 * s.width * kMostOfRow * (s.positions + 1) > std::numeric_limits<int32_t>::max()) {
    return absl::UnimplementedError(absl::StrCat("kernel 'lazy_qkv': ", s.heads, " heads, a width of ", s.width,
                                                 " and ", s.positions,
                                                 " positions are more than cuda can share out; use kv=dense"));
  }
  return absl::OkStatus();
}

absl::Status SelectLimits(const KernelSpec& spec) {
  const SelectShape s = MatchSelect(spec).value();
  return s.k > 0 && s.tokens > 1
             ? absl::UnimplementedError(absl::StrCat("kernel 'select': the ", s.k,
                                                     " largest scores of several sequences "
                                                     "are not united on cuda; choose the positive ones"))
             : absl::OkStatus();
}

absl::Status QuantizedLinearLimits(const KernelSpec& spec) {
  const QuantizedLinearShape s = MatchQuantizedLinear(spec).value();
  return s.bits != 8 && s.tokens > 1
             ? absl::UnimplementedError(
                   "kernel 'quantized_linear': matrices of 4 bits are for one sequence on cuda; use "
                   "insert-predictors{matrix-bits=8} for a batch")
             : absl::OkStatus();
}

void EmitSyntheticFill(EmitContext& context, const KernelSpec& /*spec*/) {
  static_cast<CudaSource&>(context).AddText("SyntheticFill.cuh",
                                            "extern \"C\" __global__ void synthetic_fill(SyntheticFillArgs args) {\n"
                                            "  SyntheticFill(args);\n}\n");
}

/// What the runtime calls around its matrix products.
void EmitGemm(EmitContext& context, const KernelSpec& /*spec*/) {
  static_cast<CudaSource&>(context).AddText(
      "Gemm.cuh",
      "extern \"C\" __global__ void round_to_f16(const void* x, void* y, long long count) {\n"
      "  RoundTo<DType::kF16>(x, y, count);\n}\n"
      "extern \"C\" __global__ void round_to_bf16(const void* x, void* y, long long count) {\n"
      "  RoundTo<DType::kBF16>(x, y, count);\n}\n"
      "extern \"C\" __global__ void finish_product(const void* bias, void* y, long long n, long long count,\n"
      "                                          long long relu) {\n"
      "  FinishProduct(bias, y, n, count, relu);\n}\n");
}

absl::Status GemmLimits(const KernelSpec& spec) {
  const LinearShape s = MatchLinear(spec).value();
  RETURN_IF_ERROR(SizeLimits(spec));
  // The library adds the residual before it applies the ReLU.
  return s.relu && s.residual ? absl::UnimplementedError("kernel 'gemm': relu and a residual can't be together on cuda")
                              : absl::OkStatus();
}

void EmitAdvance(EmitContext& context, const KernelSpec& /*spec*/) {
  static_cast<CudaSource&>(context).AddText(
      "Advance.cuh",
      "extern \"C\" __global__ void advance(const int* choice, Control* control, int* choices) {\n"
      "  Advance(choice, control, choices);\n}\n");
}

absl::Status NoLimits(const KernelSpec& /*spec*/) { return absl::OkStatus(); }

/// `kLimits` are beside those of size.
template <auto kDescribe, auto kLimits = NoLimits, bool kLetsNextStartFirst = false>
constexpr KernelEmitter Emitter(std::string_view kernel) {
  return {kernel,
          [](EmitContext& context, const KernelSpec& spec) {
            auto& source = static_cast<CudaSource&>(context);
            CudaKernel described = kDescribe(spec, source.isa());
            described.lets_next_start_first = kLetsNextStartFirst;
            source.Add(CudaKernels().Symbol(spec).value(), described);
          },
          [](const KernelSpec& spec, std::string_view isa) { return std::optional(kDescribe(spec, isa).grid); },
          [](const KernelSpec& spec) {
            RETURN_IF_ERROR(SizeLimits(spec));
            return kLimits(spec);
          },
          kLetsNextStartFirst};
}

/// For a small kernel, beside which there is room for the next.
template <auto kDescribe, auto kLimits = NoLimits>
constexpr KernelEmitter SmallEmitter(std::string_view kernel) {
  return Emitter<kDescribe, kLimits, true>(kernel);
}

}  // namespace

namespace describe {

CudaKernel SelectBy(const KernelSpec& spec, int64_t threads) {
  const SelectShape s = MatchSelect(spec).value();
  const LaunchGrid grid{.blocks = 1, .threads = threads, .early = true};
  return {"Select.cuh",
          s.k > 0 ? "SelectLargest" : "SelectPositive",
          {"scores", "list"},
          ShapeText("SelectShape").Int("tokens", s.tokens).Int("n", s.n).Int("k", s.k).Int("threads", grid.threads),
          grid};
}

CudaKernel KeepInputs(const KernelSpec& spec, std::string_view /*isa*/) {
  const KeepInputsShape s = MatchKeepInputs(spec).value();
  const int64_t tokens = TokensOf(s.tokens);
  return {"LazyQkv.cuh",
          "KeepInputs",
          {"x", "inputs", "filled", "new_inputs", "new_filled"},
          ShapeText("KeepInputsShape").Int("tokens", tokens).Int("width", s.width).Int("heads", s.heads),
          GridOfPieces(tokens, s.width / 4)};
}

CudaKernel Select(const KernelSpec& spec, std::string_view /*isa*/) {
  return SelectBy(spec, WholeWarps(CeilDiv(MatchSelect(spec).value().n, 8)));
}

}  // namespace describe

const KernelTable& CudaKernels() {
  static const KernelTable table("cuda",
                                 {SmallEmitter<EmbedTokens>("embed_tokens"),
                                  SmallEmitter<EmbedPositions>("embed_positions"),
                                  SmallEmitter<LayerNorm>("layer_norm"),
                                  Emitter<describe::Linear>("linear"),
                                  {"gemm", &EmitGemm, nullptr, &GemmLimits},
                                  SmallEmitter<Add>("add"),
                                  SmallEmitter<LastRow>("last_row"),
                                  SmallEmitter<describe::Attention, AttentionLimits>("attention"),
                                  Emitter<describe::CertifiedTest>("certified_test"),
                                  SmallEmitter<Compact>("compact"),
                                  Emitter<describe::SparseQkv>("sparse_qkv"),
                                  Emitter<describe::LazyQkv, LazyQkvLimits>("lazy_qkv"),
                                  SmallEmitter<describe::Attention, AttentionLimits>("lazy_attention"),
                                  SmallEmitter<describe::KeepInputs>("keep_inputs"),
                                  Emitter<describe::SparseOut, SparseOutLimits>("sparse_out"),
                                  Emitter<describe::QuantizedLinear, QuantizedLinearLimits>("quantized_linear"),
                                  Emitter<describe::QuantizedTest>("quantized_test"),
                                  SmallEmitter<describe::Select, SelectLimits>("select"),
                                  Emitter<describe::SparseFc1>("sparse_fc1"),
                                  Emitter<describe::SparseFc2>("sparse_fc2"),
                                  {kJointKernel, &describe::EmitJoint, &describe::JointGrid, &describe::JointLimits},
                                  Emitter<Argmax>("argmax"),
                                  {kAdvanceKernel, &EmitAdvance},
                                  {kSyntheticFillKernel, &EmitSyntheticFill}});
  return table;
}

}  // namespace dejavu
