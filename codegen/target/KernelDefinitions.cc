// The kernels of the [sched] stratum: signature, symbol and cost of each. Emitters belong to the targets.
#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "codegen/target/KernelTable.h"
#include "codegen/target/SpecMatcher.h"
#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"

namespace dejavu {
namespace {

int64_t Size(DType dtype) { return static_cast<int64_t>(DTypeSize(dtype)); }

int64_t Count(const Dim& tokens) { return tokens.is_static() ? tokens.size() : 1; }

// `kernel_dtype`, then the dimensions. A static number of tokens is part of the code, a symbolic one is not.
std::string Head(const KernelSpec& spec, DType dtype, const Dim& tokens) {
  const std::string_view name = DTypeName(dtype);
  std::string head = absl::StrCat(spec.kernel, "_", absl::string_view(name.data(), name.size()));
  if (tokens.is_static()) {
    absl::StrAppend(&head, "_t", tokens.size());
  }
  return head;
}

// Where a kernel is for one token but for batches.
std::string BatchSuffix(int64_t tokens) { return tokens > 1 ? absl::StrCat("_t", tokens) : ""; }

std::string FloatBits(float value) { return absl::StrCat(absl::Hex(std::bit_cast<uint32_t>(value))); }

// A layer norm of x in front of the kernel proper.
std::string NormSuffix(const Norm& norm) { return norm.on ? absl::StrCat("_norm", FloatBits(norm.epsilon)) : ""; }
int64_t NormBytes(const Norm& norm, int64_t k) { return norm.on ? 8 * k : 0; }

std::string ListSuffix(bool early) { return early ? "_early" : ""; }

std::string EmbedTokensSymbol(const KernelSpec& spec) {
  const EmbedTokensShape s = MatchEmbedTokens(spec).value();
  return absl::StrCat(Head(spec, s.dtype, s.tokens), "_v", s.vocab, "_e", s.width);
}

KernelCost EmbedTokensCost(const KernelSpec& spec) {
  const EmbedTokensShape s = MatchEmbedTokens(spec).value();
  return {.bytes = Count(s.tokens) * (4 + s.width * (Size(s.dtype) + 4))};
}

std::string EmbedPositionsSymbol(const KernelSpec& spec) {
  const EmbedPositionsShape s = MatchEmbedPositions(spec).value();
  return absl::StrCat(Head(spec, s.dtype, s.tokens), "_p", s.positions, "_e", s.width, "_o", s.offset,
                      s.batch ? "_batch" : "");
}

KernelCost EmbedPositionsCost(const KernelSpec& spec) {
  const EmbedPositionsShape s = MatchEmbedPositions(spec).value();
  return {.bytes = Count(s.tokens) * s.width * (Size(s.dtype) + 8), .flops = Count(s.tokens) * s.width};
}

std::string LayerNormSymbol(const KernelSpec& spec) {
  const LayerNormShape s = MatchLayerNorm(spec).value();
  return absl::StrCat(Head(spec, DType::kF32, s.tokens), "_h", s.width, "_e", FloatBits(s.epsilon));
}

KernelCost LayerNormCost(const KernelSpec& spec) {
  const LayerNormShape s = MatchLayerNorm(spec).value();
  return {.bytes = 8 * s.width * (Count(s.tokens) + 1), .flops = 8 * s.width * Count(s.tokens)};
}

std::string LinearSymbol(const KernelSpec& spec) {
  const LinearShape s = MatchLinear(spec).value();
  return absl::StrCat(Head(spec, s.dtype, s.tokens), "_n", s.n, "_k", s.k, "_b", static_cast<int>(s.bias), "_r",
                      static_cast<int>(s.residual), "_relu", static_cast<int>(s.relu), NormSuffix(s.norm));
}

KernelCost LinearCost(const KernelSpec& spec) {
  const LinearShape s = MatchLinear(spec).value();
  const int64_t activations = Count(s.tokens) * 4 * (s.k + s.n + (s.residual ? s.n : 0));
  return {.bytes = s.n * s.k * Size(s.dtype) + (s.bias ? 4 * s.n : 0) + activations + NormBytes(s.norm, s.k),
          .flops = 2 * s.n * s.k * Count(s.tokens)};
}

std::string AddSymbol(const KernelSpec& spec) {
  const RowsShape s = MatchAdd(spec).value();
  return absl::StrCat(Head(spec, DType::kF32, s.tokens), "_h", s.width);
}

KernelCost AddCost(const KernelSpec& spec) {
  const RowsShape s = MatchAdd(spec).value();
  return {.bytes = 12 * s.width * Count(s.tokens), .flops = s.width * Count(s.tokens)};
}

std::string LastRowSymbol(const KernelSpec& spec) {
  const RowsShape s = MatchLastRow(spec).value();
  return absl::StrCat(Head(spec, DType::kF32, s.tokens), "_h", s.width);
}

KernelCost LastRowCost(const KernelSpec& spec) { return {.bytes = 8 * MatchLastRow(spec).value().width}; }

std::string AttentionSymbol(const KernelSpec& spec) {
  const AttentionShape s = MatchAttention(spec).value();
  return absl::StrCat(Head(spec, DType::kF32, s.tokens), "_h", s.heads, "_d", s.head_dim, "_p", s.positions, "_s",
                      FloatBits(s.scale), s.listed && !s.lazy ? "_list" : "", s.batch ? "_batch" : "",
                      ListSuffix(s.early_list));
}

// The context counts the new token too, so the cache rows that it reads are in bytes_per_context_token; a batch's is
// the sum of all sequences'.
KernelCost AttentionCost(const KernelSpec& spec) {
  const AttentionShape s = MatchAttention(spec).value();
  const int64_t width = s.heads * s.head_dim;
  if (s.lazy) {
    return {.bytes = 8 * s.heads + 4,
            .flops = 4 * s.head_dim,
            .per_active_bytes = 4 * s.head_dim * (3 + 1 + 2) + 4,
            .per_active_context_bytes = 8 * s.head_dim};
  }
  if (s.listed) {
    return {.bytes = Count(s.tokens) * 4 * width * (2 + 2) + 4,
            .flops = 4 * s.head_dim * Count(s.tokens),
            .per_active_bytes = Count(s.tokens) * 4 * s.head_dim * 2 + 4,
            .per_active_context_bytes = 8 * s.head_dim};
  }
  return {.bytes = Count(s.tokens) * 4 * width * (3 + 1 + 2),
          .flops = 4 * width * Count(s.tokens),
          .bytes_per_context_token = 8 * width};
}

std::string CertifiedTestSymbol(const KernelSpec& spec) {
  const CertifiedTestShape s = MatchCertifiedTest(spec).value();
  return absl::StrCat("certified_test_i8", BatchSuffix(s.tokens), "_n", s.n, "_k", s.k);
}

KernelCost CertifiedTestCost(const KernelSpec& spec) {
  const CertifiedTestShape s = MatchCertifiedTest(spec).value();
  return {.bytes = s.n * (s.k + 16 + 1) + 4 * s.k * s.tokens, .flops = 2 * s.n * s.k * s.tokens};
}

std::string AmongSuffix(bool among) { return among ? "_among" : ""; }

std::string CompactSymbol(const KernelSpec& spec) {
  const CompactShape s = MatchCompact(spec).value();
  return absl::StrCat("compact_u8_n", s.n, AmongSuffix(s.among));
}

// A candidate costs its flag and its number, and as much again as if it were listed.
KernelCost CompactCost(const KernelSpec& spec) {
  const CompactShape s = MatchCompact(spec).value();
  return s.among ? KernelCost{.bytes = 8, .per_active_bytes = 9} : KernelCost{.bytes = s.n + 4, .per_active_bytes = 4};
}

std::string SparseQkvSymbol(const KernelSpec& spec) {
  const SparseQkvShape s = MatchSparseQkv(spec).value();
  return absl::StrCat(Head(spec, s.dtype, "tokens"), BatchSuffix(s.tokens), "_k", s.width, "_h", s.heads, "_b",
                      static_cast<int>(s.bias), NormSuffix(s.norm), ListSuffix(s.early_list));
}

// A row costs its weights, its bias and its result.
KernelCost SparseQkvCost(const KernelSpec& spec) {
  const SparseQkvShape s = MatchSparseQkv(spec).value();
  const int64_t row = s.width * Size(s.dtype) + (s.bias ? 4 : 0) + 4 * s.tokens;
  return {.bytes = 2 * s.width * row + 4 * s.width * s.tokens + 4 + NormBytes(s.norm, s.width),
          .flops = 4 * s.width * s.width * s.tokens,
          .per_active_bytes = s.head_dim() * row + 4};
}

std::string LazyQkvSymbol(const KernelSpec& spec) {
  const LazyQkvShape s = MatchLazyQkv(spec).value();
  return absl::StrCat(Head(spec, s.dtype, "tokens"), "_k", s.width, "_h", s.heads, "_p", s.positions, "_b",
                      static_cast<int>(s.bias), NormSuffix(s.norm), ListSuffix(s.early_list));
}

// A listed head costs its rows of q, k and v with their biases and results. What it slept through is counted when it
// falls asleep, as there is one key and one value for each position: so a head that is not listed costs the input that
// it will read, and the key and value that it will write.
KernelCost LazyQkvCost(const KernelSpec& spec) {
  const LazyQkvShape s = MatchLazyQkv(spec).value();
  const int64_t row = s.width * Size(s.dtype) + (s.bias ? 4 : 0) + 4;
  const int64_t asleep = 4 * s.width + 8 * s.head_dim();
  return {.bytes = s.heads * (4 + asleep) + 8 * s.width + 4 + NormBytes(s.norm, s.width),
          .flops = 4 * s.width * s.width,
          .per_active_bytes = 3 * s.head_dim() * row + 4 - asleep};
}

std::string KeepInputsSymbol(const KernelSpec& spec) {
  const KeepInputsShape s = MatchKeepInputs(spec).value();
  return absl::StrCat(Head(spec, DType::kF32, s.tokens), "_k", s.width, "_h", s.heads, "_p", s.positions);
}

KernelCost KeepInputsCost(const KernelSpec& spec) {
  const KeepInputsShape s = MatchKeepInputs(spec).value();
  return {.bytes = Count(s.tokens) * 8 * s.width + 4 * s.heads};
}

std::string SparseOutSymbol(const KernelSpec& spec) {
  const SparseOutShape s = MatchSparseOut(spec).value();
  return absl::StrCat(Head(spec, s.dtype, "tokens"), BatchSuffix(s.tokens), "_n", s.n, "_k", s.k, "_h", s.heads, "_b",
                      static_cast<int>(s.bias), "_r", static_cast<int>(s.residual), ListSuffix(s.early_list));
}

// An entry costs its columns and its part of x.
KernelCost SparseOutCost(const KernelSpec& spec) {
  const SparseOutShape s = MatchSparseOut(spec).value();
  return {.bytes = 4 * s.n * (s.tokens * (s.residual ? 2 : 1) + (s.bias ? 1 : 0)) + 4,
          .flops = 2 * s.n * s.head_dim() * s.tokens,
          .per_active_bytes = s.head_dim() * (s.n * Size(s.dtype) + 4 * s.tokens) + 4};
}

std::string QuantizedLinearSymbol(const KernelSpec& spec) {
  const QuantizedLinearShape s = MatchQuantizedLinear(spec).value();
  return absl::StrCat("quantized_linear_i", s.bits, BatchSuffix(s.tokens), "_n", s.n, "_k", s.k, "_b",
                      static_cast<int>(s.bias), NormSuffix(s.norm));
}

KernelCost QuantizedLinearCost(const KernelSpec& spec) {
  const QuantizedLinearShape s = MatchQuantizedLinear(spec).value();
  const int64_t row = PredictorRowBytes(s.bits, s.k) + 4 + (s.bias ? 4 : 0) + 4 * s.tokens;
  return {.bytes = s.n * row + 4 * s.k * s.tokens + NormBytes(s.norm, s.k), .flops = 2 * s.n * s.k * s.tokens};
}

std::string QuantizedTestSymbol(const KernelSpec& spec) {
  const QuantizedTestShape s = MatchQuantizedTest(spec).value();
  return absl::StrCat("quantized_test_b", s.bits, "_n", s.n, "_k", s.k, "_g", s.group, "_m", FloatBits(s.margin),
                      NormSuffix(s.norm), AmongSuffix(s.among));
}

KernelCost QuantizedTestCost(const KernelSpec& spec) {
  const QuantizedTestShape s = MatchQuantizedTest(spec).value();
  const int64_t row = CopyRowBytes(s.bits, s.k) + CopyGroups(s.k, s.group) + 12 + 1;
  if (s.among) {
    return {.bytes = 4 * s.k + NormBytes(s.norm, s.k) + 4, .flops = 2 * s.k, .per_active_bytes = row + 4};
  }
  return {.bytes = s.n * row + 4 * s.k + NormBytes(s.norm, s.k), .flops = 2 * s.n * s.k};
}

std::string SelectSymbol(const KernelSpec& spec) {
  const SelectShape s = MatchSelect(spec).value();
  return absl::StrCat("select_f32", BatchSuffix(s.tokens), "_n", s.n, "_k", s.k);
}

KernelCost SelectCost(const KernelSpec& spec) {
  const SelectShape s = MatchSelect(spec).value();
  return {.bytes = 4 * s.n * s.tokens + 4, .per_active_bytes = 4};
}

std::string SparseFc1Symbol(const KernelSpec& spec) {
  const SparseFc1Shape s = MatchSparseFc1(spec).value();
  return absl::StrCat(Head(spec, s.dtype, "tokens"), BatchSuffix(s.tokens), "_n", s.n, "_k", s.k, NormSuffix(s.norm),
                      ListSuffix(s.early_list));
}

// An entry costs its row, its bias, its number and its results.
KernelCost SparseFc1Cost(const KernelSpec& spec) {
  const SparseFc1Shape s = MatchSparseFc1(spec).value();
  return {.bytes = 4 * s.k * s.tokens + 4 + NormBytes(s.norm, s.k),
          .flops = 2 * s.k * s.tokens,
          .per_active_bytes = s.k * Size(s.dtype) + 8 + 4 * s.tokens};
}

std::string SparseFc2Symbol(const KernelSpec& spec) {
  const SparseFc2Shape s = MatchSparseFc2(spec).value();
  return absl::StrCat(Head(spec, s.dtype, "tokens"), BatchSuffix(s.tokens), "_n", s.n, "_h", s.width, "_r",
                      static_cast<int>(s.residual), ListSuffix(s.early_list));
}

KernelCost SparseFc2Cost(const KernelSpec& spec) {
  const SparseFc2Shape s = MatchSparseFc2(spec).value();
  const int64_t row = s.width * Size(s.dtype);
  // For one token, rows of a list that is there early are read before it is known which h are zero.
  const bool reads_all = s.early_list && s.tokens == 1;
  return {.bytes = 4 * s.width * (s.tokens * (s.residual ? 2 : 1) + 1) + 4,
          .flops = 2 * s.width * s.tokens,
          .per_active_bytes = 4 + 4 * s.tokens + (reads_all ? row : 0),
          .per_positive_bytes = reads_all ? 0 : row};
}

std::string ArgmaxSymbol(const KernelSpec& spec) {
  const ArgmaxShape s = MatchArgmax(spec).value();
  return absl::StrCat("argmax_f32", BatchSuffix(s.tokens), "_n", s.n);
}

KernelCost ArgmaxCost(const KernelSpec& spec) {
  const ArgmaxShape s = MatchArgmax(spec).value();
  return {.bytes = s.tokens * (4 * s.n + 4), .flops = s.tokens * s.n};
}

// A gemm is a linear to everyone but the emitters.
std::string NoSymbol(const KernelSpec& spec) {
  static_cast<void>(spec);
  return {};
}

const KernelDefinition* DefinitionOf(const std::string& kernel) {
  const std::vector<KernelDefinition>& all = KernelDefinitions();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const KernelDefinition& definition) { return definition.name == kernel; });
  return found == all.end() ? nullptr : &*found;
}

std::string JointSymbol(const KernelSpec& spec) {
  std::string symbol = spec.kernel;
  for (const KernelSpec& part : spec.parts) {
    absl::StrAppend(&symbol, "__", DefinitionOf(part.kernel)->symbol(part));
  }
  return symbol;
}

// What the runtime runs by itself has no shape.
std::string RuntimeKernelSymbol(const KernelSpec& spec) { return spec.kernel; }

KernelCost NoCost(const KernelSpec& spec) {
  static_cast<void>(spec);
  return {};
}

absl::Status SupportsRuntimeKernel(const KernelSpec& spec) { return SpecMatcher(spec, 0, 0).status(); }

template <auto kMatch>
absl::Status Supports(const KernelSpec& spec) {
  return kMatch(spec).status();
}

}  // namespace

absl::Status MatchJoint(const KernelSpec& spec) {
  if (spec.parts.size() < 2) {
    return absl::UnimplementedError("kernel 'joint': needs at least two parts");
  }
  for (const KernelSpec& part : spec.parts) {
    const KernelDefinition* definition = DefinitionOf(part.kernel);
    if (definition == nullptr || definition->builtin || !part.parts.empty()) {
      return absl::UnimplementedError(absl::StrCat("kernel 'joint': '", part.kernel, "' can be no part of it"));
    }
    RETURN_IF_ERROR(definition->supports(part));
  }
  return absl::OkStatus();
}

const std::vector<KernelDefinition>& KernelDefinitions() {
  static const std::vector<KernelDefinition> definitions = {
      {"embed_tokens", false, &Supports<MatchEmbedTokens>, &EmbedTokensSymbol, &EmbedTokensCost},
      {"embed_positions", false, &Supports<MatchEmbedPositions>, &EmbedPositionsSymbol, &EmbedPositionsCost},
      {"layer_norm", false, &Supports<MatchLayerNorm>, &LayerNormSymbol, &LayerNormCost},
      {"linear", false, &Supports<MatchLinear>, &LinearSymbol, &LinearCost},
      {"gemm", true, &Supports<MatchLinear>, &NoSymbol, &LinearCost},
      {"add", false, &Supports<MatchAdd>, &AddSymbol, &AddCost},
      {"last_row", false, &Supports<MatchLastRow>, &LastRowSymbol, &LastRowCost},
      {"attention", false, &Supports<MatchAttention>, &AttentionSymbol, &AttentionCost},
      {"certified_test", false, &Supports<MatchCertifiedTest>, &CertifiedTestSymbol, &CertifiedTestCost},
      {"compact", false, &Supports<MatchCompact>, &CompactSymbol, &CompactCost},
      {"sparse_qkv", false, &Supports<MatchSparseQkv>, &SparseQkvSymbol, &SparseQkvCost},
      {"lazy_qkv", false, &Supports<MatchLazyQkv>, &LazyQkvSymbol, &LazyQkvCost},
      {"lazy_attention", false, &Supports<MatchAttention>, &AttentionSymbol, &AttentionCost},
      {"keep_inputs", false, &Supports<MatchKeepInputs>, &KeepInputsSymbol, &KeepInputsCost},
      {"sparse_out", false, &Supports<MatchSparseOut>, &SparseOutSymbol, &SparseOutCost},
      {"quantized_linear", false, &Supports<MatchQuantizedLinear>, &QuantizedLinearSymbol, &QuantizedLinearCost},
      {"quantized_test", false, &Supports<MatchQuantizedTest>, &QuantizedTestSymbol, &QuantizedTestCost},
      {"select", false, &Supports<MatchSelect>, &SelectSymbol, &SelectCost},
      {"sparse_fc1", false, &Supports<MatchSparseFc1>, &SparseFc1Symbol, &SparseFc1Cost},
      {"sparse_fc2", false, &Supports<MatchSparseFc2>, &SparseFc2Symbol, &SparseFc2Cost},
      {kJointKernel, false, &MatchJoint, &JointSymbol, &NoCost},
      {"argmax", false, &Supports<MatchArgmax>, &ArgmaxSymbol, &ArgmaxCost},
      {kAdvanceKernel, false, &SupportsRuntimeKernel, &RuntimeKernelSymbol, &NoCost},
      {kSyntheticFillKernel, false, &SupportsRuntimeKernel, &RuntimeKernelSymbol, &NoCost}};
  return definitions;
}

}  // namespace dejavu
