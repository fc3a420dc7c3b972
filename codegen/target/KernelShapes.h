// The signatures of the kernels: each Match function checks a spec and extracts the numbers that emitters need.
#ifndef DEJAVU_CODEGEN_TARGET_KERNELSHAPES_H_
#define DEJAVU_CODEGEN_TARGET_KERNELSHAPES_H_

#include <cstdint>

#include "codegen/target/KernelSpec.h"
#include "ir/base/Status.h"

namespace dejavu {

/// Widths of activations and of matrix rows are multiples of this many elements; numbers of rows are arbitrary.
inline constexpr int64_t kWidthMultiple = 8;
/// The widest row that kernels accept; the error bounds of certified_test are proved up to it.
inline constexpr int64_t kMaxWidth = 1 << 16;

/// y f32<tokens, width> = table<vocab, width>[tokens].
struct EmbedTokensShape {
  Dim tokens;
  int64_t vocab;
  int64_t width;
  DType dtype;
};
[[nodiscard]] absl::StatusOr<EmbedTokensShape> MatchEmbedTokens(const KernelSpec& spec);

/// An attribute that the plan gives to a launch of a batch: each token is of a sequence of its own, and the call's
/// `dims` are {tokens of this call, tokens in the cache of each sequence...}.
inline constexpr char kBatch[] = "batch";

/// y f32<tokens, width> = x + table<positions, width>[past + t + offset], of a batch [past of t + offset].
struct EmbedPositionsShape {
  Dim tokens;
  int64_t positions;
  int64_t width;
  DType dtype;
  int64_t offset;
  bool batch;
};
[[nodiscard]] absl::StatusOr<EmbedPositionsShape> MatchEmbedPositions(const KernelSpec& spec);

/// y f32<tokens, width> = (x - mean) / sqrt(variance + epsilon) * gamma + beta, variance biased.
struct LayerNormShape {
  Dim tokens;
  int64_t width;
  float epsilon;
};
[[nodiscard]] absl::StatusOr<LayerNormShape> MatchLayerNorm(const KernelSpec& spec);

/// The layer norm of x that a kernel for one token computes first, with gamma and beta f32<k> as its last operands.
struct Norm {
  bool on;
  float epsilon;
};

/// An attribute that the plan gives to a launch that reads a list: whoever wrote the list has ended before this launch
/// starts, even where it starts before those ahead of it end.
inline constexpr char kEarlyList[] = "early_list";
/// An attribute of a joint kernel: all parts multiply with the vector of the first, normalised alike.
inline constexpr char kSameInput[] = "same_input";

/// y f32<tokens, n> = act(w<n, k> x + bias) + residual; with `transposed` (gemm only) w is stored as <k, n>.
struct LinearShape {
  Dim tokens;
  int64_t n;
  int64_t k;
  DType dtype;
  bool bias;
  bool residual;
  bool relu;
  bool transposed;
  Norm norm;
};
[[nodiscard]] absl::StatusOr<LinearShape> MatchLinear(const KernelSpec& spec);

/// add: y = a + b; last_row: y f32<1, width> is the last row of x f32<tokens, width>.
struct RowsShape {
  Dim tokens;
  int64_t width;
};
[[nodiscard]] absl::StatusOr<RowsShape> MatchAdd(const KernelSpec& spec);
[[nodiscard]] absl::StatusOr<RowsShape> MatchLastRow(const KernelSpec& spec);

/// Causal attention of qkv f32<tokens, 3 * heads * head_dim> over cache f32<2, heads, positions, head_dim>, of a batch
/// f32<2 * tokens, ...> with a past for each; with `listed` of one token or a batch, and of the heads in a list alone,
/// though the cache gets the keys and values of all. Of a lazy_attention it gets those of the list, and i32<1, heads,
/// 1, 1> says then how many each head has.
struct AttentionShape {
  Dim tokens;
  int64_t heads;
  int64_t head_dim;
  int64_t positions;
  float scale;
  bool listed;
  bool batch;
  bool early_list;
  bool lazy;
};
[[nodiscard]] absl::StatusOr<AttentionShape> MatchAttention(const KernelSpec& spec);

/// flags u8<n> from x f32<tokens, k>, q8 i8<n, k> and rows f32<n, 4>: those that any token needs. This kernel and those
/// below take the tokens of at most kMaxSequences sequences.
struct CertifiedTestShape {
  int64_t tokens;
  int64_t n;
  int64_t k;
};
[[nodiscard]] absl::StatusOr<CertifiedTestShape> MatchCertifiedTest(const KernelSpec& spec);

/// active index<active> lists the non-zero flags among n; with `among`, flags are those of another list's entries, and
/// active lists these.
struct CompactShape {
  int64_t n;
  bool among;
};
[[nodiscard]] absl::StatusOr<CompactShape> MatchCompact(const KernelSpec& spec);

/// y f32<tokens, 3 * width> = w<3 * width, width> x + bias, but for rows of q whose head is not in the list.
struct SparseQkvShape {
  int64_t tokens;
  int64_t width;
  int64_t heads;
  DType dtype;
  bool bias;
  Norm norm;
  bool early_list;

  [[nodiscard]] int64_t head_dim() const { return width / heads; }
};
[[nodiscard]] absl::StatusOr<SparseQkvShape> MatchSparseQkv(const KernelSpec& spec);

/// y f32<1, 3 * width> = w<3 * width, width> x + bias, but for rows whose head is not in the list; the keys and values
/// of listed heads in cache f32<2, heads, positions, head_dim> from the count in filled i32<1, heads, 1, 1> to the
/// past, from the same rows and inputs f32<1, 1, positions, width>; and x as the next of the inputs.
struct LazyQkvShape {
  int64_t width;
  int64_t heads;
  int64_t positions;
  DType dtype;
  bool bias;
  Norm norm;
  bool early_list;

  [[nodiscard]] int64_t head_dim() const { return width / heads; }
};
[[nodiscard]] absl::StatusOr<LazyQkvShape> MatchLazyQkv(const KernelSpec& spec);

/// x f32<tokens, width> as the next of inputs f32<1, 1, positions, width>, and all of filled i32<1, heads, 1, 1> count
/// them.
struct KeepInputsShape {
  Dim tokens;
  int64_t width;
  int64_t heads;
  int64_t positions;
};
[[nodiscard]] absl::StatusOr<KeepInputsShape> MatchKeepInputs(const KernelSpec& spec);

/// y f32<tokens, n> = w<n, k> x + bias + residual over the columns of the heads in the list.
struct SparseOutShape {
  int64_t tokens;
  int64_t n;
  int64_t k;
  int64_t heads;
  DType dtype;
  bool bias;
  bool residual;
  bool early_list;

  [[nodiscard]] int64_t head_dim() const { return k / heads; }
};
[[nodiscard]] absl::StatusOr<SparseOutShape> MatchSparseOut(const KernelSpec& spec);

/// flags u8<n> from x f32<1, k>, a copy of `bits` bits an element, a scale for each `group` columns, and rows f32<n,
/// 3>, as sparse.quantized_active defines them. With `among`, of the neurons in a list alone: flag i is its entry i's.
struct QuantizedTestShape {
  int64_t n;
  int64_t k;
  int64_t bits;
  int64_t group;
  float margin;
  bool among;
  Norm norm;
};
[[nodiscard]] absl::StatusOr<QuantizedTestShape> MatchQuantizedTest(const KernelSpec& spec);

/// y f32<tokens, n> = ((scales step) (q8 i8<n, k> . n)) up + bias, as SparseOps.h defines it.
struct QuantizedLinearShape {
  int64_t tokens;
  int64_t n;
  int64_t k;
  int64_t bits;  ///< Of an element of q8: 8, or 4 as PredictorRows.h packs them.
  bool bias;
  Norm norm;
};
[[nodiscard]] absl::StatusOr<QuantizedLinearShape> MatchQuantizedLinear(const KernelSpec& spec);

/// list index<...> of what has a positive score among f32<tokens, n>, or one of the `k` largest of a token.
struct SelectShape {
  int64_t tokens;
  int64_t n;
  int64_t k;  ///< 0: the positive ones.
};
[[nodiscard]] absl::StatusOr<SelectShape> MatchSelect(const KernelSpec& spec);

/// h f32<active, tokens> = relu(fc1<n, k>[active] x + bias[active]).
struct SparseFc1Shape {
  int64_t tokens;
  int64_t n;
  int64_t k;
  DType dtype;
  Norm norm;
  bool early_list;
};
[[nodiscard]] absl::StatusOr<SparseFc1Shape> MatchSparseFc1(const KernelSpec& spec);

/// y f32<tokens, width> = bias + residual + sum of h[i] * fc2t<n, width>[active[i]].
struct SparseFc2Shape {
  int64_t tokens;
  int64_t n;
  int64_t width;
  DType dtype;
  bool residual;
  bool early_list;  ///< All listed rows are read then, those with an h of zero too.
};
[[nodiscard]] absl::StatusOr<SparseFc2Shape> MatchSparseFc2(const KernelSpec& spec);

/// The parts of a joint kernel: none of them a joint one, each supported by its definition.
[[nodiscard]] absl::Status MatchJoint(const KernelSpec& spec);

/// choice i32<tokens> has the number of the largest of each token's n logits f32<tokens, n>.
struct ArgmaxShape {
  int64_t tokens;
  int64_t n;
};
[[nodiscard]] absl::StatusOr<ArgmaxShape> MatchArgmax(const KernelSpec& spec);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_TARGET_KERNELSHAPES_H_
