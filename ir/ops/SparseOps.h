// The [sparse] stratum: which neurons a token needs, and the MLP over those alone. Semantics: see ModelOps.h.
#ifndef DEJAVU_IR_OPS_SPARSEOPS_H_
#define DEJAVU_IR_OPS_SPARSEOPS_H_

#include "ir/core/OpSchema.h"
#include "ir/ops/ModelOps.h"

namespace dejavu {

/// The certified test. Let w be a row of fc1, b its bias, q and s its int8 copy and scale (w ~ s q), and x the input,
/// which the test rounds to integers n with one scale t (x ~ t n). Then
///
///   w.x - s t (q.n)  =  w.(x - t n) + (w - s q).(t n),    so by Cauchy-Schwarz
///   |w.x - s t (q.n)| <= |w| |x - t n| + |w - s q| |t n|.
///
/// q.n is computed exactly in integers. |w| and |w - s q| are computed when the weights are packed and rounded up, in
/// `rows` = [s, |w - s q|, |w|, b]. A dense kernel computes w.x + b in f32 in some order with an error of at most
/// g (|w| |x| + |b|), g = K u / (1 - K u), u = 2^-24 (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). If
///
///   s t (q.n) + b + |w| |x - t n| + |w - s q| |t n| + g (|w| |x| + |b|)  <  0,
///
/// the left side itself being computed with an upward slack, then the dense kernel's result is negative and its ReLU is
/// zero. So no neuron with a positive ReLU output is ever left out; the others in the list only cost their bytes.
/// (One scale a row is enough: scales and norms per block of 32 to 128 columns tightened a trained OPT's list by 3%.)
inline constexpr OpSchema kCertifiedActive =
    DefineOp("sparse.certified_active",
             "Lists, in ascending order, every neuron not certain to have a zero ReLU output in some row.")
        .operand("x", "f32<T, H>")
        .operand("q8", "i8<F, H>", "fc1 rounded to integers, one scale a row")
        .operand("rows", "f32<F, 4>", "scale, norm of the rounding residual, norm, bias of each row; norms rounded up")
        .result("active", "index<active>");

/// [c1] bits is 2, 3, 4 or 8; [c2] group is 32, 64 or 128; [c3] the copy has its format's bytes a row, and [c4] a scale
/// for each group of columns; [c5] the margin is finite; [c6] candidates are chosen among as many neurons as the copy
/// has rows. Operands are `x`, `copy`, `group_scales`, `rows` and `among`.
absl::Status VerifyQuantizedActive(const Operation& op);

/// A guess from a copy of fc1 of few bits an element, whose format ir/base/QuantizedCopy.h states: element j of row i
/// is stood for by (2 q - c) m s, with q of `bits` bits, c = 2^bits - 1, m the scale of j's group and s that of the
/// row. x is rounded to integers n with one step t and a power of two u, x ~ u t n, and
///
///   D[i] = the sum of m (2 q - c) n over the columns,
///
/// is computed exactly. What is left is done in f32, each operation rounded once and none fused, so that every backend
/// lists the same neurons for the same x. Neuron i is listed if
///
///   ((s t) D[i]) u + (bias + margin deviation)
///
/// is positive or NaN, where `rows` = [s, bias, deviation]. If an x is infinite or NaN, all neurons are listed.
///
/// The deviation is that of the copy's error: of (w - copy).x over vectors x that a layer norm makes of random ones,
/// the root of the sum of (w - copy)^2 (gamma^2 + beta^2). So the margin is in units of what the guess is usually off
/// by. A negative margin leaves out neurons that are barely active.
///
/// With `among`, a list of the same layer's neurons, it is the second step of a cascade: other neurons are not listed,
/// and their rows of the copy are not read.
///
/// L = min(127, (2^31 - 1) / (M c K)), M the largest scale of a group; u is the power of two at the largest |x|, but
/// from 2^-126 to 2^126, a = max |x| / u (1 where x is zero), t = a / L, and n = round(x / u (L / a)), to the nearest,
/// ties to even.
inline constexpr OpSchema kQuantizedActive =
    DefineOp("sparse.quantized_active", "Lists, in ascending order, the neurons that a copy of fc1 finds active.")
        .operand("x", "f32<1, H>")
        .operand("copy", "i8<F, C>", "fc1 in `bits` bits an element, in bytes")
        .operand("group_scales", "i8<F, G>", "of each group of columns of a row")
        .operand("rows", "f32<F, 3>", "scale, bias and deviation of each row")
        .optionalOperand("among", "index<active>", "the candidates: these alone are tested [c6]")
        .attr("bits", AttrKind::kInt, "2, 3, 4 or 8 [c1]")
        .attr("group", AttrKind::kInt, "columns that share a scale: 32, 64 or 128 [c2]")
        .attr("margin", AttrKind::kFloat, "in deviations; a larger one lists more")
        .result("active", "index<active>")
        .verifiedBy(&VerifyQuantizedActive);

/// Rows of fc1 and fc2 outside `active` are never read; rows of fc2 only where the neuron is found positive.
inline constexpr OpSchema kSparseMlp = DefineOp("sparse.mlp", "MLP over the neurons listed in `active`.")
                                           .operand("x", "f32<T, H>")
                                           .operand("fc1", "float<F, H>", "a neuron is one contiguous row")
                                           .optionalOperand("fc1_bias", "float<F>")
                                           .operand("fc2", "float<F, H>", "transposed: a neuron is one contiguous row")
                                           .optionalOperand("fc2_bias", "float<H>")
                                           .operand("active", "index<active>", "ascending, no duplicates, each below F")
                                           .result("y", "f32<T, H>");

absl::Status VerifySelect(const Operation& op);

absl::Status VerifyQuantizedLinear(const Operation& op);

/// One stage of a predictor. x is rounded to integers n with one step t and a power of two u, x ~ u t n, and q8[i] . n
/// is computed exactly. What is left is done in f32, each operation rounded once and none fused, so that every backend
/// gives the same bits for the same x:
///
///   y[i] = ((scales[i] t) (q8[i] . n)) u + bias[i]
///
/// Let L = min(32767, (2^31 - 1) / (128 K)), so that the sum fits 32 bits; u is the power of two at the largest |x|,
/// but from 2^-126 to 2^126, a = max |x| / u (1 where x is zero), t = a / L, and n = round(x / u (L / a)), to the
/// nearest, ties to even. If an x is infinite or NaN, every y is NaN.
inline constexpr OpSchema kQuantizedLinear =
    DefineOp("sparse.quantized_linear", "y = (scales q8) x + bias, with each row of x rounded to 16 bits.")
        .operand("x", "f32<T, K>")
        .operand("q8", "i8<N, Q>",
                 "the weights as integers, one scale a row: Q is K, or K / 2 for two columns in a byte, packed as "
                 "PredictorRows.h says [c1]")
        .operand("scales", "f32<N>")
        .optionalOperand("bias", "f32<N>", "a threshold is a part of it")
        .result("y", "f32<T, N>")
        .verifiedBy(&VerifyQuantizedLinear);

/// Rows of a batch share one list: the union of what each of them needs, so that each weight is read once for all.
inline constexpr OpSchema kSelect =
    DefineOp("sparse.select",
             "Lists, in ascending order, what has a positive or NaN score in some row, or one of its "
             "k largest.")
        .operand("scores", "f32<T, N>")
        .optionalAttr("k", AttrKind::kInt, "how many of a row; of equal scores the first ones; NaN is the largest [c1]")
        .optionalAttr("layer", AttrKind::kInt, "the transformer layer whose neurons or heads these are")
        .result("list", "index<L>", "L is `active` for neurons, `heads` for heads [c2]")
        .verifiedBy(&VerifySelect);

/// Keys and values of all heads go to the cache, so that a head that wakes finds what it slept through. Rows of q, the
/// cache and columns of out are read for the listed heads only.
inline constexpr OpSchema kSparseAttention =
    WithPast(WithProjections(
                 DefineOp("sparse.attention", "Attention with the heads listed in `heads`; the others add nothing.")
                     .operand("x", "f32<T, H>"))
                 .operand("heads", "index<heads>", "ascending, no duplicates, each below A"))
        .attr("scale", AttrKind::kFloat, "multiplies every score q.k")
        .result("y", "f32<T, H>")
        .result("new_cache", "f32<C, A, context, D>", "`cache` with the keys and values of x appended")
        .verifiedBy(&VerifyAttentionHeads);

/// A head that is not listed computes nothing at all. What its keys and values are made of is kept instead: `inputs`,
/// the x of every token. Head h has keys and values of the positions [0, f), where f is filled[h], or the length of
/// `cache` if that is less: the sequence may have been shortened. A listed head gets those of all positions from f on,
/// x's included, and new_filled is the length of new_cache; of other heads it is f, and what new_cache has behind is
/// anything. So no pattern of heads changes what a listed head gives.
inline constexpr OpSchema kLazyAttention =
    WithProjections(
        DefineOp("sparse.lazy_attention",
                 "sparse.attention, but heads that are not listed get no keys and values; a head that wakes "
                 "gets those that it slept through from the inputs of their tokens.")
            .operand("x", "f32<1, H>"))
        .operand("heads", "index<heads>", "ascending, no duplicates, each below A")
        .operand("inputs", "f32<1, 1, P, H>", "the x of each token in the cache")
        .operand("filled", "i32<1, A, 1, 1>", "how many keys and values each head has")
        .attr("scale", AttrKind::kFloat, "multiplies every score q.k")
        .result("y", "f32<1, H>")
        .result("new_cache", "f32<2, A, context, D>")
        .result("new_inputs", "f32<1, 1, context, H>", "`inputs` with x appended")
        .result("new_filled", "i32<1, A, 1, 1>")
        .verifiedBy(&VerifyAttentionHeads);

/// Beside a model.attention with the same x, before which all heads have all keys and values.
inline constexpr OpSchema kKeepInputs =
    DefineOp("sparse.keep_inputs",
             "What sparse.lazy_attention must know of tokens whose keys and values all heads have.")
        .operand("x", "f32<T, H>", "what the attention reads")
        .operand("inputs", "f32<1, 1, P, H>", "as in sparse.lazy_attention")
        .operand("filled", "i32<1, A, 1, 1>")
        .result("new_inputs", "f32<1, 1, context, H>", "`inputs` with x appended")
        .result("new_filled", "i32<1, A, 1, 1>", "the length of new_inputs, for each head");

inline constexpr const OpSchema* kSparseOps[] = {&kCertifiedActive, &kKeepInputs, &kLazyAttention,   &kQuantizedActive,
                                                 &kQuantizedLinear, &kSelect,     &kSparseAttention, &kSparseMlp};

}  // namespace dejavu

#endif  // DEJAVU_IR_OPS_SPARSEOPS_H_
