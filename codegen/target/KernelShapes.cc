#include "codegen/target/KernelShapes.h"

#include <cmath>
#include <optional>

#include "codegen/target/SpecMatcher.h"
#include "ir/base/Phases.h"
#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"

namespace dejavu {
namespace {

constexpr auto kF32 = {DType::kF32};
constexpr auto kMatrix = {DType::kF32, DType::kF16, DType::kBF16};
constexpr auto kIndexList = {DType::kIndex};

/// Operands number `gamma` and the next, and attribute epsilon.
Norm MatchNorm(SpecMatcher& match, size_t gamma, const Dim& tokens, int64_t k) {
  const std::optional<Type> gamma_type = match.Optional(gamma, "gamma", kF32, 1);
  const std::optional<Type> beta_type = match.Optional(gamma + 1, "beta", kF32, 1);
  match.Require(gamma_type.has_value() == beta_type.has_value(), "gamma and beta must both be there, or neither");
  if (!gamma_type.has_value() || !beta_type.has_value()) {
    return {};
  }
  const Norm norm{true, static_cast<float>(match.Attribute<double>("epsilon", 1e-5))};
  match.Require(norm.epsilon >= 0, "attribute epsilon must not be negative");
  match.Require(tokens == Dim(1), "only the x of one token can be normalised, not that of ", tokens.ToString());
  match.ExpectShape(*gamma_type, {k}, "gamma");
  match.ExpectShape(*beta_type, {k}, "beta");
  return norm;
}

/// The tokens of a kernel that reads its weights once for all of them.
int64_t Sequences(SpecMatcher& match, const Type& type, size_t axis = 0) {
  const int64_t tokens = match.Size(type, axis, "the number of tokens");
  match.Require(tokens <= kMaxSequences, "takes the tokens of at most ", kMaxSequences, " sequences, not ", tokens);
  return tokens;
}

void CheckHeads(SpecMatcher& match, int64_t width, int64_t heads) {
  match.Require(heads > 0 && width % heads == 0 && width / heads % kWidthMultiple == 0,
                "the heads' width must be a multiple of ", kWidthMultiple, ", not ", width, " / ", heads);
}

}  // namespace

absl::StatusOr<EmbedTokensShape> MatchEmbedTokens(const KernelSpec& spec) {
  SpecMatcher match(spec, 2, 1);
  const Type tokens = match.Operand(0, "tokens", {DType::kI32}, 1);
  const Type table = match.Operand(1, "table", kMatrix, 2);
  EmbedTokensShape shape{match.Tokens(tokens, 0, "the number of tokens"), match.Size(table, 0, "the vocabulary"),
                         match.Width(table, 1, "the width"), table.dtype};
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.width}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<EmbedPositionsShape> MatchEmbedPositions(const KernelSpec& spec) {
  SpecMatcher match(spec, 2, 1);
  const Type x = match.Operand(0, "x", kF32, 2);
  const Type table = match.Operand(1, "table", kMatrix, 2);
  EmbedPositionsShape shape{match.Tokens(x, 0, "the number of tokens"), match.Size(table, 0, "the positions"),
                            match.Width(table, 1, "the width"),         table.dtype,
                            match.Attribute<int64_t>("offset", 0),      match.Attribute<bool>(kBatch, false)};
  match.Require(!shape.batch || shape.tokens.is_static(), "the number of sequences must be part of a batch's code");
  match.Require(shape.offset >= 0, "attribute offset must not be negative");
  match.ExpectShape(x, {shape.tokens, shape.width}, "x");
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.width}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<LayerNormShape> MatchLayerNorm(const KernelSpec& spec) {
  SpecMatcher match(spec, 3, 1);
  const Type x = match.Operand(0, "x", kF32, 2);
  LayerNormShape shape{match.Tokens(x, 0, "the number of tokens"), match.Width(x, 1, "the width"),
                       static_cast<float>(match.Attribute<double>("epsilon", 1e-5))};
  match.Require(shape.epsilon >= 0, "attribute epsilon must not be negative");
  match.ExpectShape(match.Operand(1, "gamma", kF32, 1), {shape.width}, "gamma");
  match.ExpectShape(match.Operand(2, "beta", kF32, 1), {shape.width}, "beta");
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.width}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<LinearShape> MatchLinear(const KernelSpec& spec) {
  const bool is_gemm = spec.kernel == "gemm";
  SpecMatcher match(spec, is_gemm ? 4 : 6, 1);
  const Type x = match.Operand(0, "x", kF32, 2);
  const Type w = match.Operand(1, "w", kMatrix, 2);
  const std::optional<Type> bias = match.Optional(2, "bias", kF32, 1);
  const std::optional<Type> residual = match.Optional(3, "residual", kF32, 2);
  const bool transposed = match.Attribute<bool>("transposed", false);
  match.Require(!transposed || is_gemm, "only gemm reads transposed weights");
  LinearShape shape{match.Tokens(x, 0, "the number of tokens"),
                    match.Size(w, transposed ? 1 : 0, "the number of rows"),
                    match.Width(w, transposed ? 0 : 1, "the width"),
                    w.dtype,
                    bias.has_value(),
                    residual.has_value(),
                    match.Attribute<bool>("relu", false),
                    transposed,
                    Norm{}};
  if (!is_gemm) {
    shape.norm = MatchNorm(match, 4, shape.tokens, shape.k);
  }
  match.ExpectShape(x, {shape.tokens, shape.k}, "x");
  if (bias.has_value()) {
    match.ExpectShape(*bias, {shape.n}, "bias");
  }
  if (residual.has_value()) {
    match.ExpectShape(*residual, {shape.tokens, shape.n}, "residual");
  }
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.n}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<RowsShape> MatchAdd(const KernelSpec& spec) {
  SpecMatcher match(spec, 2, 1);
  const Type a = match.Operand(0, "a", kF32, 2);
  RowsShape shape{match.Tokens(a, 0, "the number of tokens"), match.Width(a, 1, "the width")};
  match.ExpectShape(match.Operand(1, "b", kF32, 2), {shape.tokens, shape.width}, "b");
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.width}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<RowsShape> MatchLastRow(const KernelSpec& spec) {
  SpecMatcher match(spec, 1, 1);
  const Type x = match.Operand(0, "x", kF32, 2);
  RowsShape shape{match.Tokens(x, 0, "the number of tokens"), match.Width(x, 1, "the width")};
  match.ExpectShape(match.Result(0, "y", kF32, 2), {1, shape.width}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<AttentionShape> MatchAttention(const KernelSpec& spec) {
  const bool lazy = spec.kernel == "lazy_attention";
  SpecMatcher match(spec, lazy ? 4 : 3, lazy ? 3 : 2);
  const Type qkv = match.Operand(0, "qkv", kF32, 2);
  const Type cache = match.Operand(1, "cache", kF32, 4);
  AttentionShape shape{match.Tokens(qkv, 0, "the number of tokens"),
                       match.Attribute<int64_t>("heads", 0),
                       match.Width(cache, 3, "the head width"),
                       match.Size(cache, 2, "the positions"),
                       static_cast<float>(match.Attribute<double>("scale", 1.0)),
                       match.Optional(2, "the list of heads", kIndexList, 1).has_value(),
                       match.Attribute<bool>(kBatch, false),
                       match.Attribute<bool>(kEarlyList, false),
                       lazy};
  match.Require(!lazy || (shape.listed && !shape.batch), "lazy heads are listed, and those of one sequence");
  match.Require(!shape.batch || shape.tokens.is_static(), "the number of sequences must be part of a batch's code");
  match.Require(!shape.listed || shape.batch || shape.tokens == Dim(1), "a list of heads is for one token or a batch");
  match.Require(shape.heads > 0, "attribute heads must be positive");
  match.ExpectShape(qkv, {shape.tokens, 3 * shape.heads * shape.head_dim}, "qkv");
  const int64_t sequences = shape.batch && shape.tokens.is_static() ? shape.tokens.size() : 1;
  match.ExpectShape(cache, {2 * sequences, shape.heads, shape.positions, shape.head_dim}, "cache");
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.heads * shape.head_dim}, "y");
  match.ExpectShape(match.Result(1, "the new cache", kF32, 4), cache.shape, "the new cache");
  if (lazy) {
    const Shape counts = {1, shape.heads, 1, 1};
    match.ExpectShape(match.Operand(3, "filled", {DType::kI32}, 4), counts, "filled");
    match.ExpectShape(match.Result(2, "the new filled", {DType::kI32}, 4), counts, "the new filled");
  }
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<CertifiedTestShape> MatchCertifiedTest(const KernelSpec& spec) {
  SpecMatcher match(spec, 3, 1);
  const Type q8 = match.Operand(1, "q8", {DType::kI8}, 2);
  const Type x = match.Operand(0, "x", kF32, 2);
  CertifiedTestShape shape{Sequences(match, x), match.Size(q8, 0, "the number of neurons"),
                           match.Width(q8, 1, "the width")};
  match.ExpectShape(x, {shape.tokens, shape.k}, "x");
  match.ExpectShape(match.Operand(2, "rows", kF32, 2), {shape.n, 4}, "rows");
  match.ExpectShape(match.Result(0, "flags", {DType::kU8}, 1), {shape.n}, "flags");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<CompactShape> MatchCompact(const KernelSpec& spec) {
  SpecMatcher match(spec, 2, 1);
  CompactShape shape{match.Size(match.Operand(0, "flags", {DType::kU8}, 1), 0, "the number of flags"),
                     match.Optional(1, "among", kIndexList, 1).has_value()};
  match.Result(0, "active", kIndexList, 1);
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<SparseQkvShape> MatchSparseQkv(const KernelSpec& spec) {
  SpecMatcher match(spec, 6, 1);
  const Type w = match.Operand(1, "w", kMatrix, 2);
  const std::optional<Type> bias = match.Optional(2, "bias", kF32, 1);
  const Type x = match.Operand(0, "x", kF32, 2);
  SparseQkvShape shape{Sequences(match, x),
                       match.Width(w, 1, "the width"),
                       match.Attribute<int64_t>("heads", 0),
                       w.dtype,
                       bias.has_value(),
                       Norm{},
                       match.Attribute<bool>(kEarlyList, false)};
  match.ExpectShape(w, {3 * shape.width, shape.width}, "w");
  match.Operand(3, "the list of heads", kIndexList, 1);
  CheckHeads(match, shape.width, shape.heads);
  shape.norm = MatchNorm(match, 4, Dim(shape.tokens), shape.width);
  match.ExpectShape(x, {shape.tokens, shape.width}, "x");
  if (bias.has_value()) {
    match.ExpectShape(*bias, {3 * shape.width}, "bias");
  }
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, 3 * shape.width}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<LazyQkvShape> MatchLazyQkv(const KernelSpec& spec) {
  SpecMatcher match(spec, 9, 3);
  const Type w = match.Operand(1, "w", kMatrix, 2);
  const std::optional<Type> bias = match.Optional(2, "bias", kF32, 1);
  const Type cache = match.Operand(4, "cache", kF32, 4);
  const Type inputs = match.Operand(5, "inputs", kF32, 4);
  LazyQkvShape shape{match.Width(w, 1, "the width"),
                     match.Attribute<int64_t>("heads", 0),
                     match.Size(cache, 2, "the positions"),
                     w.dtype,
                     bias.has_value(),
                     Norm{},
                     match.Attribute<bool>(kEarlyList, false)};
  match.ExpectShape(w, {3 * shape.width, shape.width}, "w");
  match.Operand(3, "the list of heads", kIndexList, 1);
  CheckHeads(match, shape.width, shape.heads);
  shape.norm = MatchNorm(match, 7, Dim(1), shape.width);
  match.ExpectShape(match.Operand(0, "x", kF32, 2), {1, shape.width}, "x");
  if (bias.has_value()) {
    match.ExpectShape(*bias, {3 * shape.width}, "bias");
  }
  RETURN_IF_ERROR(match.status());
  match.ExpectShape(cache, {2, shape.heads, shape.positions, shape.head_dim()}, "cache");
  match.ExpectShape(inputs, {1, 1, shape.positions, shape.width}, "inputs");
  match.ExpectShape(match.Operand(6, "filled", {DType::kI32}, 4), {1, shape.heads, 1, 1}, "filled");
  match.ExpectShape(match.Result(0, "y", kF32, 2), {1, 3 * shape.width}, "y");
  match.ExpectShape(match.Result(1, "the new cache", kF32, 4), cache.shape, "the new cache");
  match.ExpectShape(match.Result(2, "the new inputs", kF32, 4), inputs.shape, "the new inputs");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<KeepInputsShape> MatchKeepInputs(const KernelSpec& spec) {
  SpecMatcher match(spec, 3, 2);
  const Type x = match.Operand(0, "x", kF32, 2);
  const Type inputs = match.Operand(1, "inputs", kF32, 4);
  const Type filled = match.Operand(2, "filled", {DType::kI32}, 4);
  KeepInputsShape shape{match.Tokens(x, 0, "the number of tokens"), match.Width(x, 1, "the width"),
                        match.Size(filled, 1, "the heads"), match.Size(inputs, 2, "the positions")};
  match.ExpectShape(inputs, {1, 1, shape.positions, shape.width}, "inputs");
  match.ExpectShape(filled, {1, shape.heads, 1, 1}, "filled");
  match.ExpectShape(match.Result(0, "the new inputs", kF32, 4), inputs.shape, "the new inputs");
  match.ExpectShape(match.Result(1, "the new filled", {DType::kI32}, 4), filled.shape, "the new filled");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<SparseOutShape> MatchSparseOut(const KernelSpec& spec) {
  SpecMatcher match(spec, 5, 1);
  const Type w = match.Operand(1, "w", kMatrix, 2);
  const std::optional<Type> bias = match.Optional(2, "bias", kF32, 1);
  const std::optional<Type> residual = match.Optional(3, "residual", kF32, 2);
  const Type x = match.Operand(0, "x", kF32, 2);
  SparseOutShape shape{Sequences(match, x),
                       match.Size(w, 0, "the number of rows"),
                       match.Width(w, 1, "the width"),
                       match.Attribute<int64_t>("heads", 0),
                       w.dtype,
                       bias.has_value(),
                       residual.has_value(),
                       match.Attribute<bool>(kEarlyList, false)};
  match.Operand(4, "the list of heads", kIndexList, 1);
  CheckHeads(match, shape.k, shape.heads);
  match.ExpectShape(x, {shape.tokens, shape.k}, "x");
  if (bias.has_value()) {
    match.ExpectShape(*bias, {shape.n}, "bias");
  }
  if (residual.has_value()) {
    match.ExpectShape(*residual, {shape.tokens, shape.n}, "residual");
  }
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.n}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<QuantizedLinearShape> MatchQuantizedLinear(const KernelSpec& spec) {
  SpecMatcher match(spec, 6, 1);
  const Type q8 = match.Operand(1, "q8", {DType::kI8}, 2);
  const std::optional<Type> bias = match.Optional(3, "bias", kF32, 1);
  const Type x = match.Operand(0, "x", kF32, 2);
  QuantizedLinearShape shape{Sequences(match, x),
                             match.Size(q8, 0, "the number of rows"),
                             match.Width(x, 1, "the width"),
                             0,
                             bias.has_value(),
                             Norm{}};
  shape.bits = PredictorBits(match.Size(q8, 1, "the bytes of a row"), shape.k);
  match.Require(shape.bits > 0, "q8 must have rows of ", shape.k, " bytes, or half as many for a multiple of 32");
  shape.norm = MatchNorm(match, 4, Dim(shape.tokens), shape.k);
  match.ExpectShape(x, {shape.tokens, shape.k}, "x");
  match.ExpectShape(match.Operand(2, "scales", kF32, 1), {shape.n}, "scales");
  if (bias.has_value()) {
    match.ExpectShape(*bias, {shape.n}, "bias");
  }
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.n}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<QuantizedTestShape> MatchQuantizedTest(const KernelSpec& spec) {
  SpecMatcher match(spec, 7, 1);
  const Type x = match.Operand(0, "x", kF32, 2);
  const Type copy = match.Operand(1, "copy", {DType::kI8}, 2);
  QuantizedTestShape shape{match.Size(copy, 0, "the number of neurons"),
                           match.Width(x, 1, "the width"),
                           match.Attribute<int64_t>("bits", 4),
                           match.Attribute<int64_t>("group", 64),
                           static_cast<float>(match.Attribute<double>("margin", 0)),
                           match.Optional(4, "among", kIndexList, 1).has_value(),
                           Norm{}};
  match.Require(IsCopyBits(shape.bits), "attribute bits must be 2, 3, 4 or 8, not ", shape.bits);
  match.Require(IsCopyGroup(shape.group), "attribute group must be 32, 64 or 128, not ", shape.group);
  match.Require(std::isfinite(shape.margin), "attribute margin must be finite in f32");
  if (match.status().ok()) {
    match.ExpectShape(x, {1, shape.k}, "x");
    match.ExpectShape(copy, {shape.n, CopyRowBytes(shape.bits, shape.k)}, "copy");
    match.ExpectShape(match.Operand(2, "group_scales", {DType::kI8}, 2), {shape.n, CopyGroups(shape.k, shape.group)},
                      "group_scales");
    match.ExpectShape(match.Operand(3, "rows", kF32, 2), {shape.n, 3}, "rows");
    shape.norm = MatchNorm(match, 5, Dim(1), shape.k);
    match.ExpectShape(match.Result(0, "flags", {DType::kU8}, 1), {shape.n}, "flags");
  }
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<SelectShape> MatchSelect(const KernelSpec& spec) {
  SpecMatcher match(spec, 1, 1);
  const Type scores = match.Operand(0, "scores", kF32, 2);
  SelectShape shape{Sequences(match, scores), match.Size(scores, 1, "the number of scores"),
                    match.Attribute<int64_t>("k", 0)};
  match.ExpectShape(scores, {shape.tokens, shape.n}, "scores");
  match.Require(shape.k >= 0 && shape.k <= shape.n, "attribute k must be from 1 to the number of scores");
  match.Result(0, "list", kIndexList, 1);
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<SparseFc1Shape> MatchSparseFc1(const KernelSpec& spec) {
  SpecMatcher match(spec, 6, 1);
  const Type fc1 = match.Operand(1, "fc1", kMatrix, 2);
  const Type x = match.Operand(0, "x", kF32, 2);
  SparseFc1Shape shape{Sequences(match, x),
                       match.Size(fc1, 0, "the number of neurons"),
                       match.Width(fc1, 1, "the width"),
                       fc1.dtype,
                       Norm{},
                       match.Attribute<bool>(kEarlyList, false)};
  shape.norm = MatchNorm(match, 4, Dim(shape.tokens), shape.k);
  match.ExpectShape(x, {shape.tokens, shape.k}, "x");
  match.ExpectShape(match.Operand(2, "bias", kF32, 1), {shape.n}, "bias");
  Shape h = match.Operand(3, "active", kIndexList, 1).shape;
  h.emplace_back(shape.tokens);
  match.ExpectShape(match.Result(0, "h", kF32, 2), h, "h");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<SparseFc2Shape> MatchSparseFc2(const KernelSpec& spec) {
  SpecMatcher match(spec, 5, 1);
  const Type fc2t = match.Operand(2, "fc2t", kMatrix, 2);
  const std::optional<Type> residual = match.Optional(4, "residual", kF32, 2);
  const Type h = match.Operand(0, "h", kF32, 2);
  SparseFc2Shape shape{Sequences(match, h, 1),
                       match.Size(fc2t, 0, "the number of neurons"),
                       match.Width(fc2t, 1, "the width"),
                       fc2t.dtype,
                       residual.has_value(),
                       match.Attribute<bool>(kEarlyList, false)};
  Shape listed = match.Operand(1, "active", kIndexList, 1).shape;
  listed.emplace_back(shape.tokens);
  match.ExpectShape(h, listed, "h");
  match.ExpectShape(match.Operand(3, "bias", kF32, 1), {shape.width}, "bias");
  if (residual.has_value()) {
    match.ExpectShape(*residual, {shape.tokens, shape.width}, "residual");
  }
  match.ExpectShape(match.Result(0, "y", kF32, 2), {shape.tokens, shape.width}, "y");
  RETURN_IF_ERROR(match.status());
  return shape;
}

absl::StatusOr<ArgmaxShape> MatchArgmax(const KernelSpec& spec) {
  SpecMatcher match(spec, 1, 1);
  const Type logits = match.Operand(0, "logits", kF32, 2);
  ArgmaxShape shape{Sequences(match, logits), match.Size(logits, 1, "the number of logits")};
  match.ExpectShape(match.Result(0, "choice", {DType::kI32}, 1), {shape.tokens}, "choice");
  RETURN_IF_ERROR(match.status());
  return shape;
}

}  // namespace dejavu
