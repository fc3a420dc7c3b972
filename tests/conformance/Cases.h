// The specs that conformance runs for every kernel, and the shapes of their calls.
#ifndef DEJAVU_TESTS_CONFORMANCE_CASES_H_
#define DEJAVU_TESTS_CONFORMANCE_CASES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "codegen/target/KernelSpec.h"

namespace dejavu::testing {

struct Case {
  KernelSpec spec;
  int64_t tokens = 1;
  int64_t past = 0;
};

/// The symbol of the case's kernel and the shape of its call, as a part of a test's name.
[[nodiscard]] std::string CaseName(const Case& test_case);

/// Every emitted kernel is here at least once, with each dtype and each kind of tail.
[[nodiscard]] const std::vector<Case>& Cases();

/// What NumericsTest runs: a table of all 65536 halves, and attention with a score of -86.9 i / kExponentials for head
/// i.
inline constexpr int64_t kExponentials = 4096;
[[nodiscard]] KernelSpec AllHalvesSpec(DType dtype);
[[nodiscard]] KernelSpec ExponentialSpec();

/// The specs of Cases() and of the other tests that run kernels, to be compiled ahead of them.
[[nodiscard]] std::vector<KernelSpec> AllSpecs();

/// Specs by kernel; T is a number or "tokens".
[[nodiscard]] KernelSpec LinearSpec(const Dim& tokens, int64_t n, int64_t k, DType dtype, bool bias, bool residual,
                                    bool relu);
[[nodiscard]] KernelSpec EmbedTokensSpec(const Dim& tokens, int64_t vocab, int64_t width, DType dtype);
[[nodiscard]] KernelSpec EmbedPositionsSpec(const Dim& tokens, int64_t positions, int64_t width, DType dtype,
                                            int64_t offset);
[[nodiscard]] KernelSpec LayerNormSpec(const Dim& tokens, int64_t width, double epsilon);
[[nodiscard]] KernelSpec AddSpec(const Dim& tokens, int64_t width);
[[nodiscard]] KernelSpec LastRowSpec(const Dim& tokens, int64_t width);
[[nodiscard]] KernelSpec AttentionSpec(const Dim& tokens, int64_t heads, int64_t head_dim, int64_t positions);
/// The attention with a list of heads.
[[nodiscard]] KernelSpec Listed(KernelSpec attention);
[[nodiscard]] KernelSpec SparseQkvSpec(int64_t width, int64_t heads, DType dtype, bool bias);
[[nodiscard]] KernelSpec LazyQkvSpec(int64_t width, int64_t heads, int64_t positions, DType dtype, bool bias);
[[nodiscard]] KernelSpec LazyAttentionSpec(int64_t heads, int64_t head_dim, int64_t positions);
[[nodiscard]] KernelSpec KeepInputsSpec(const Dim& tokens, int64_t width, int64_t heads, int64_t positions);
[[nodiscard]] KernelSpec SparseOutSpec(int64_t n, int64_t k, int64_t heads, DType dtype, bool bias, bool residual);
[[nodiscard]] KernelSpec CertifiedTestSpec(int64_t n, int64_t k);
[[nodiscard]] KernelSpec CompactSpec(int64_t n);
/// The same compact or quantized_test, among the entries of a list.
[[nodiscard]] KernelSpec Among(KernelSpec spec);
/// The builtin's: linear without a norm.
[[nodiscard]] KernelSpec GemmSpec(int64_t n, int64_t k, DType dtype);
/// Cases of argmax: ordinary logits; many equal ones; some NaN; infinity; minus infinity for most; for all.
inline constexpr int64_t kArgmaxOddities = 6;
[[nodiscard]] KernelSpec ArgmaxSpec(int64_t n);
[[nodiscard]] KernelSpec QuantizedLinearSpec(int64_t n, int64_t k, bool bias);
/// A quantized_linear with rows of 4 bits.
[[nodiscard]] KernelSpec Packed(KernelSpec spec);
[[nodiscard]] KernelSpec QuantizedTestSpec(int64_t n, int64_t k, int64_t bits, int64_t group, double margin);
/// `k` 0: the positive scores.
[[nodiscard]] KernelSpec SelectSpec(int64_t n, int64_t k);
[[nodiscard]] KernelSpec SparseFc1Spec(int64_t n, int64_t k, DType dtype);
[[nodiscard]] KernelSpec SparseFc2Spec(int64_t n, int64_t width, DType dtype, bool residual);
/// A linear or sparse_fc1 of one token with a layer norm in front.
[[nodiscard]] KernelSpec Normed(KernelSpec spec, double epsilon);
/// A kernel that does the work of all of them; with `same_input` they read the vector of the first.
[[nodiscard]] KernelSpec JointSpec(std::vector<KernelSpec> parts, bool same_input);
/// The kernel of one token for a token of each of so many sequences.
[[nodiscard]] KernelSpec OfBatch(KernelSpec spec, int64_t sequences);
/// A launch whose list is there before the launches ahead of it have ended.
[[nodiscard]] KernelSpec WithEarlyList(KernelSpec spec);

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_CASES_H_
