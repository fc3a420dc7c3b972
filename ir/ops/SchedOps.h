// The [sched] stratum: one launch of one kernel each, in order, with packed weights and planned buffers.
//
// A launch may carry `stream` (printed as `on stream0`) and `at`: the byte offset of each result in the arena, -1 for a
// cache, which is updated in place. Semantics of the arithmetic: see ModelOps.h.
#ifndef DEJAVU_IR_OPS_SCHEDOPS_H_
#define DEJAVU_IR_OPS_SCHEDOPS_H_

#include "ir/core/OpSchema.h"
#include "ir/ops/ModelOps.h"
#include "ir/ops/SparseOps.h"

namespace dejavu {

absl::Status VerifyNorm(const Operation& op);
absl::Status VerifyLaunchAttention(const Operation& op);

constexpr OpSchema DefineLaunch(std::string_view name, std::string_view summary) {
  return DefineOp(name, summary)
      .optionalAttr("stream", AttrKind::kInt, "the stream it runs on")
      .optionalAttr("at", AttrKind::kInts, "where its results are in the arena, in bytes")
      .optionalAttr("layer", AttrKind::kInt, "the transformer layer it belongs to, for statistics");
}

inline constexpr OpSchema kLaunchEmbedTokens = DefineLaunch("sched.launch @embed_tokens", "model.embed_tokens")
                                                   .operand("tokens", "i32<T>")
                                                   .operand("table", "float<V, E>")
                                                   .result("y", "f32<T, E>");

inline constexpr OpSchema kLaunchEmbedPositions = DefineLaunch("sched.launch @embed_positions", "model.embed_positions")
                                                      .operand("x", "f32<T, E>")
                                                      .operand("table", "float<P, E>")
                                                      .operand("past", "i64<...>", "as in model.embed_positions [c1]")
                                                      .attr("offset", AttrKind::kInt)
                                                      .result("y", "f32<T, E>")
                                                      .verifiedBy(&VerifyPast);

inline constexpr OpSchema kLaunchLayerNorm = DefineLaunch("sched.launch @layer_norm", "model.layer_norm")
                                                 .operand("x", "f32<T, H>")
                                                 .operand("gamma", "f32<H>")
                                                 .operand("beta", "f32<H>")
                                                 .attr("epsilon", AttrKind::kFloat)
                                                 .result("y", "f32<T, H>");

/// The end of the operands of a launch that can normalise x first: with gamma and beta it works on
/// layer_norm(x, gamma, beta) {epsilon} instead of x. All three are there or none [c1]; x is one token's [c2]; epsilon
/// is not negative [c3].
constexpr OpSchema WithNorm(const OpSchema& schema) {
  return schema.optionalOperand("gamma", "f32<K>", "of a layer norm of x")
      .optionalOperand("beta", "f32<K>")
      .optionalAttr("epsilon", AttrKind::kFloat, "of the layer norm")
      .verifiedBy(&VerifyNorm);
}

inline constexpr OpSchema kLaunchLinear = WithNorm(
    DefineLaunch("sched.launch @linear", "A few tokens' y = act(x w^T + bias) + residual, at the memory's speed.")
        .operand("x", "f32<T, K>")
        .operand("w", "float<N, K>")
        .optionalOperand("bias", "f32<N>")
        .optionalOperand("residual", "f32<T, N>")
        .attr("relu", AttrKind::kBool)
        .result("y", "f32<T, N>"));

inline constexpr OpSchema kLaunchGemm =
    DefineLaunch("sched.launch @gemm", "Many tokens' y = act(x w^T + bias) + residual, by BLAS.")
        .operand("x", "f32<T, K>")
        .operand("w", "float<N, K>")
        .optionalOperand("bias", "f32<N>")
        .optionalOperand("residual", "f32<T, N>")
        .attr("relu", AttrKind::kBool)
        .result("y", "f32<T, N>");

inline constexpr OpSchema kLaunchGemmTransposed =
    DefineLaunch("sched.launch @gemm_transposed", "gemm with w stored transposed, as the sparse kernels want fc2.")
        .operand("x", "f32<T, K>")
        .operand("w", "float<K, N>")
        .optionalOperand("bias", "f32<N>")
        .optionalOperand("residual", "f32<T, N>")
        .attr("relu", AttrKind::kBool)
        .result("y", "f32<T, N>");

inline constexpr OpSchema kLaunchAdd = DefineLaunch("sched.launch @add", "model.add")
                                           .operand("a", "f32<T, H>")
                                           .operand("b", "f32<T, H>")
                                           .result("y", "f32<T, H>");

inline constexpr OpSchema kLaunchLastRow =
    DefineLaunch("sched.launch @last_row", "model.last_token").operand("x", "f32<T, H>").result("y", "f32<1, H>");

inline constexpr OpSchema kLaunchAttention =
    WithPast(
        DefineLaunch("sched.launch @attention", "The part of model.attention between its projections.")
            .operand("qkv", "f32<T, 3H>", "q, k and v of a token side by side")
            .operand("cache", "f32<C, A, P, D>", "A * D = H [c1]; C is 2, or for a batch 2T [c2]; updated in place")
            .optionalOperand("active_heads", "index<heads>",
                             "of one token or a batch [c3]; y has the columns of these heads alone"))
        .attr("heads", AttrKind::kInt)
        .attr("scale", AttrKind::kFloat)
        .result("y", "f32<T, H>", "columns of heads that are not listed hold anything")
        .result("new_cache", "f32<C, A, context, D>")
        .verifiedBy(&VerifyLaunchAttention);

inline constexpr OpSchema kLaunchCertifiedTest =
    DefineLaunch("sched.launch @certified_test", "sparse.certified_active as a flag for each neuron.")
        .operand("x", "f32<T, K>")
        .operand("q8", "i8<N, K>")
        .operand("rows", "f32<N, 4>")
        .result("flags", "u8<N>");

/// With `among`, flag i is that of its entry i, and only as many flags as it has entries are read.
inline constexpr OpSchema kLaunchCompact =
    DefineLaunch("sched.launch @compact", "The ascending numbers of the flags that are not zero.")
        .operand("flags", "u8<N>")
        .optionalOperand("among", "index<active>", "what is flagged; absent: all")
        .result("active", "index<active>");

/// The norm's checks, and those of sparse.quantized_linear.
absl::Status VerifyLaunchQuantizedLinear(const Operation& op);

inline constexpr OpSchema kLaunchQuantizedLinear =
    WithNorm(DefineLaunch("sched.launch @quantized_linear", "sparse.quantized_linear")
                 .operand("x", "f32<T, K>")
                 .operand("q8", "i8<N, Q>")
                 .operand("scales", "f32<N>")
                 .optionalOperand("bias", "f32<N>")
                 .result("y", "f32<T, N>"))
        .verifiedBy(&VerifyLaunchQuantizedLinear);

/// The norm's checks, and those of sparse.quantized_active.
absl::Status VerifyQuantizedTest(const Operation& op);

inline constexpr OpSchema kLaunchQuantizedTest =
    WithNorm(DefineLaunch("sched.launch @quantized_test", "sparse.quantized_active as a flag for each neuron.")
                 .operand("x", "f32<1, K>")
                 .operand("copy", "i8<N, C>")
                 .operand("group_scales", "i8<N, G>")
                 .operand("rows", "f32<N, 3>")
                 .optionalOperand("among", "index<active>", "the candidates, of the same layer [c6]")
                 .attr("bits", AttrKind::kInt)
                 .attr("group", AttrKind::kInt)
                 .attr("margin", AttrKind::kFloat)
                 .result("flags", "u8<N>", "with `among` one for each of its entries; those behind hold anything"))
        .verifiedBy(&VerifyQuantizedTest);

inline constexpr OpSchema kLaunchSelect = DefineLaunch("sched.launch @select", "sparse.select")
                                              .operand("scores", "f32<T, N>")
                                              .optionalAttr("k", AttrKind::kInt, "as in sparse.select [c1]")
                                              .result("list", "index<L>", "L is `active` or `heads` [c2]")
                                              .verifiedBy(&VerifySelect);

inline constexpr OpSchema kLaunchSparseFc1 =
    WithNorm(DefineLaunch("sched.launch @sparse_fc1", "relu(fc1[i] x + bias[i]) for each i in `active`.")
                 .operand("x", "f32<T, K>")
                 .operand("fc1", "float<N, K>")
                 .operand("bias", "f32<N>")
                 .operand("active", "index<active>")
                 .result("h", "f32<active, T>", "a neuron's results for all tokens side by side"));

inline constexpr OpSchema kLaunchSparseFc2 =
    DefineLaunch("sched.launch @sparse_fc2", "bias + residual + the sum of h[k] fc2[active[k]] over all h[k] != 0.")
        .operand("h", "f32<active, T>")
        .operand("active", "index<active>")
        .operand("fc2", "float<N, H>")
        .operand("bias", "f32<H>")
        .optionalOperand("residual", "f32<T, H>")
        .result("y", "f32<T, H>");

inline constexpr OpSchema kLaunchArgmax =
    DefineLaunch(
        "sched.launch @argmax",
        "The number of each row's largest logit, the first of equal ones; -1 where one is infinite or NaN, or none is "
        "finite. Minus infinity is a logit that is never chosen.")
        .operand("logits", "f32<T, V>")
        .result("choice", "i32<T>");

/// The list numbers `heads` equal parts of a width [c1].
absl::Status VerifyLaunchHeads(const Operation& op);

inline constexpr OpSchema kLaunchSparseQkv =
    WithNorm(DefineLaunch("sched.launch @sparse_qkv", "q of the listed heads, k and v of all: w x + bias.")
                 .operand("x", "f32<T, K>")
                 .operand("w", "float<3K, K>", "q, k and v below each other")
                 .optionalOperand("bias", "f32<3K>")
                 .operand("active_heads", "index<heads>")
                 .attr("heads", AttrKind::kInt, "how many there are; they divide K [c4]")
                 .result("y", "f32<T, 3K>", "q of heads that are not listed holds anything"))
        .verifiedBy(&VerifyLaunchHeads);

inline constexpr OpSchema kLaunchSparseOut =
    DefineLaunch("sched.launch @sparse_out", "w x + bias + residual, from the listed heads' columns of w and x alone.")
        .operand("x", "f32<T, K>")
        .operand("w", "float<N, K>")
        .optionalOperand("bias", "f32<N>")
        .optionalOperand("residual", "f32<T, N>")
        .operand("active_heads", "index<heads>")
        .attr("heads", AttrKind::kInt, "how many there are; they divide K [c4]")
        .result("y", "f32<T, N>")
        .verifiedBy(&VerifyLaunchHeads);

/// The heads' checks, those of a norm, and [c5] a cache of so many heads that are K wide together.
absl::Status VerifyLazyQkv(const Operation& op);

/// What keys and values a head has, before and after: see sparse.lazy_attention. Those of x go to y, from where
/// lazy_attention takes them to the cache; those that a listed head slept through go to the cache.
inline constexpr OpSchema kLaunchLazyQkv =
    WithNorm(DefineLaunch("sched.launch @lazy_qkv", "q, k and v of the listed heads, and what these slept through.")
                 .operand("x", "f32<1, K>")
                 .operand("w", "float<3K, K>", "q, k and v below each other")
                 .optionalOperand("bias", "f32<3K>")
                 .operand("active_heads", "index<heads>")
                 .operand("cache", "f32<2, A, P, D>", "updated in place")
                 .operand("inputs", "f32<1, 1, P, K>", "of the tokens in the cache, normalised; updated in place")
                 .operand("filled", "i32<1, A, 1, 1>")
                 .attr("heads", AttrKind::kInt, "how many there are; they divide K [c4]")
                 .result("y", "f32<1, 3K>", "q, k and v of heads that are not listed hold anything")
                 .result("new_cache", "f32<2, A, P, D>", "the listed heads have all keys and values but those of x")
                 .result("new_inputs", "f32<1, 1, context, K>"))
        .verifiedBy(&VerifyLazyQkv);

inline constexpr OpSchema kLaunchLazyAttention =
    DefineLaunch("sched.launch @lazy_attention", "attention of the listed heads alone.")
        .operand("qkv", "f32<1, 3H>", "q, k and v of a token side by side")
        .operand("cache", "f32<2, A, P, D>", "A * D = H [c1]; updated in place")
        .operand("active_heads", "index<heads>", "y has the columns of these heads alone")
        .operand("filled", "i32<1, A, 1, 1>", "updated in place")
        .attr("heads", AttrKind::kInt)
        .attr("scale", AttrKind::kFloat)
        .result("y", "f32<1, H>", "columns of heads that are not listed hold anything")
        .result("new_cache", "f32<2, A, context, D>")
        .result("new_filled", "i32<1, A, 1, 1>")
        .verifiedBy(&VerifyLaunchAttention);

inline constexpr OpSchema kLaunchKeepInputs = DefineLaunch("sched.launch @keep_inputs", "sparse.keep_inputs")
                                                  .operand("x", "f32<T, H>")
                                                  .operand("inputs", "f32<1, 1, P, H>", "updated in place")
                                                  .operand("filled", "i32<1, A, 1, 1>", "updated in place")
                                                  .result("new_inputs", "f32<1, 1, context, H>")
                                                  .result("new_filled", "i32<1, A, 1, 1>");

inline constexpr const OpSchema* kSchedOps[] = {&kLaunchAdd,
                                                &kLaunchArgmax,
                                                &kLaunchAttention,
                                                &kLaunchCertifiedTest,
                                                &kLaunchCompact,
                                                &kLaunchEmbedPositions,
                                                &kLaunchEmbedTokens,
                                                &kLaunchGemm,
                                                &kLaunchGemmTransposed,
                                                &kLaunchKeepInputs,
                                                &kLaunchLastRow,
                                                &kLaunchLayerNorm,
                                                &kLaunchLazyAttention,
                                                &kLaunchLazyQkv,
                                                &kLaunchLinear,
                                                &kLaunchQuantizedLinear,
                                                &kLaunchQuantizedTest,
                                                &kLaunchSelect,
                                                &kLaunchSparseFc1,
                                                &kLaunchSparseFc2,
                                                &kLaunchSparseOut,
                                                &kLaunchSparseQkv};

}  // namespace dejavu

#endif  // DEJAVU_IR_OPS_SCHEDOPS_H_
