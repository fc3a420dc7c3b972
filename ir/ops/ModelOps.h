// The [model] stratum: a transformer's parts as single ops.
//
// Semantics shared by all model, sparse and sched ops:
//   - Activations are f32; weights keep their stored type (f32, f16, bf16) and are widened exactly before use.
//   - Sums may be taken in any order, in f32 or wider. NaN and infinity travel as in IEEE arithmetic.
//   - `tokens` is the number of tokens in this call, `past` the number already in the cache, `context` their sum;
//     each stands for one number in a function. `active` is the length of the list of neurons that carries it, `heads`
//     that of a list of heads.
//   - A cache is f32<2, heads, past, head_dim>: keys (0) and values (1) of the tokens so far.
//   - A batch has one token of each of T sequences: x is f32<T, H> too, but `past` is i64<T>, a number for each row,
//   and
//     a cache is f32<2T, heads, past, head_dim>, keys and values of one sequence after those of another. There `past`
//     is the room in the cache, at least the longest sequence's: row past[t] of sequence t gets the new keys and
//     values, and what comes behind it is never read. All else is done row by row.
#ifndef DEJAVU_IR_OPS_MODELOPS_H_
#define DEJAVU_IR_OPS_MODELOPS_H_

#include "ir/core/OpSchema.h"

namespace dejavu {

absl::Status VerifyAttentionHeads(const Operation& op);
absl::Status VerifyPast(const Operation& op);

inline constexpr OpSchema kEmbedTokens = DefineOp("model.embed_tokens", "Looks up the embedding of each token.")
                                             .operand("tokens", "i32<T>", "token ids, each in [0, V)")
                                             .operand("table", "float<V, E>")
                                             .result("y", "f32<T, E>");

inline constexpr OpSchema kEmbedPositions =
    DefineOp("model.embed_positions", "Adds the learned embedding of each token's position, row past + t + offset.")
        .operand("x", "f32<T, E>")
        .operand("past", "i64<...>", "tokens before the first row of x, or, for a batch, before each [c1]")
        .operand("table", "float<P, E>")
        .attr("offset", AttrKind::kInt, "rows at the table's start that no position uses (2 in OPT)")
        .result("y", "f32<T, E>")
        .verifiedBy(&VerifyPast);

inline constexpr OpSchema kLayerNorm =
    DefineOp("model.layer_norm", "Normalises each row to mean 0 and variance 1 (biased), then scales and shifts.")
        .operand("x", "f32<T, H>")
        .operand("gamma", "float<H>")
        .operand("beta", "float<H>")
        .attr("epsilon", AttrKind::kFloat, "added to the variance")
        .result("y", "f32<T, H>");

inline constexpr OpSchema kLinear = DefineOp("model.linear", "y = x weight^T + bias.")
                                        .operand("x", "f32<T, K>")
                                        .operand("weight", "float<N, K>", "an output is one contiguous row")
                                        .optionalOperand("bias", "float<N>")
                                        .result("y", "f32<T, N>");

/// What attention reads beside x.
constexpr OpSchema WithProjections(const OpSchema& schema) {
  return schema.operand("q", "float<H, H>")
      .optionalOperand("q_bias", "float<H>")
      .operand("k", "float<H, H>")
      .optionalOperand("k_bias", "float<H>")
      .operand("v", "float<H, H>")
      .optionalOperand("v_bias", "float<H>")
      .operand("out", "float<H, H>")
      .optionalOperand("out_bias", "float<H>")
      .operand("cache", "f32<C, A, P, D>", "A heads of D: A * D = H [c1]; C is 2, or for a batch 2T [c2]");
}

/// The last operand of what updates a cache.
constexpr OpSchema WithPast(const OpSchema& schema) {
  return schema.optionalOperand("past", "i64<T>", "of a batch: the tokens that each sequence has in its cache");
}

inline constexpr OpSchema kAttention =
    WithPast(WithProjections(
                 DefineOp("model.attention", "Causal multi-head self-attention with its four projections and a cache.")
                     .operand("x", "f32<T, H>")))
        .attr("scale", AttrKind::kFloat, "multiplies every score q.k")
        .result("y", "f32<T, H>")
        .result("new_cache", "f32<C, A, context, D>", "`cache` with the keys and values of x appended")
        .verifiedBy(&VerifyAttentionHeads);

inline constexpr OpSchema kMlp = DefineOp("model.mlp", "y = fc2 relu(fc1 x + fc1_bias) + fc2_bias.")
                                     .operand("x", "f32<T, H>")
                                     .operand("fc1", "float<F, H>", "a neuron is one contiguous row")
                                     .optionalOperand("fc1_bias", "float<F>")
                                     .operand("fc2", "float<H, F>")
                                     .optionalOperand("fc2_bias", "float<H>")
                                     .result("y", "f32<T, H>");

inline constexpr OpSchema kAdd = DefineOp("model.add", "Adds element by element.")
                                     .operand("a", "f32<T, H>")
                                     .operand("b", "f32<T, H>")
                                     .result("y", "f32<T, H>");

inline constexpr OpSchema kLastToken =
    DefineOp("model.last_token", "Keeps the last row.").operand("x", "f32<T, H>").result("y", "f32<1, H>");

/// Stands between onnx and model ops while a graph is lifted; finish-lift allows none.
inline constexpr OpSchema kView =
    DefineOp("model.view", "The same elements in the same order, in another shape or float type.")
        .operand("x", "any<...>")
        .result("y", "any<...>");

inline constexpr const OpSchema* kModelOps[] = {
    &kAdd, &kAttention, &kEmbedPositions, &kEmbedTokens, &kLastToken, &kLayerNorm, &kLinear, &kMlp, &kView};

}  // namespace dejavu

#endif  // DEJAVU_IR_OPS_MODELOPS_H_
