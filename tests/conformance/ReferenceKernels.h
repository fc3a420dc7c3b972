// What the references of single kernels share.
#ifndef DEJAVU_TESTS_CONFORMANCE_REFERENCEKERNELS_H_
#define DEJAVU_TESTS_CONFORMANCE_REFERENCEKERNELS_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "codegen/target/KernelShapes.h"
#include "ir/core/Type.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {

/// Results are f32 sums of up to a few thousand rounded products; 1e-5 holds with room for widths to 4096.
inline constexpr double kTolerance = 1e-5;

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Rounded to float, as every operation of a predictor is.
inline double ToFloat(double value) { return static_cast<float>(value); }

/// Results with no more sums than this are made of magnitudes.
inline constexpr int64_t kFewSums = 8;

/// Each fills the arguments and the check of a problem whose spec, tokens and past are set.
void MakeAttention(Problem& problem, Random& random);
void MakeCertifiedTest(Problem& problem, Random& random);
void MakeArgmax(Problem& problem, Random& random);
void MakeCompact(Problem& problem, Random& random);
void MakeQuantizedLinear(Problem& problem, Random& random);
void MakeQuantizedTest(Problem& problem, Random& random);
void MakeSelect(Problem& problem, Random& random);
void MakeSparseQkv(Problem& problem, Random& random);
void MakeLazyQkv(Problem& problem, Random& random);
void MakeLazyAttention(Problem& problem, Random& random);
void MakeKeepInputs(Problem& problem, Random& random);
void MakeSparseOut(Problem& problem, Random& random);
void MakeSparseFc1(Problem& problem, Random& random);
void MakeSparseFc2(Problem& problem, Random& random);
void MakeJoint(Problem& problem, Random& random);

/// The number of tokens of the call.
[[nodiscard]] int64_t Count(const Problem& problem, const Dim& tokens);
/// Checks argument `arg` against `expected`, within kTolerance.
void ExpectFloats(Problem& problem, size_t arg, std::vector<double> expected);
/// None of `all` heads or neurons, all, one, or some of them.
[[nodiscard]] std::vector<int32_t> RandomList(int64_t all, Random& random);
/// How many keys and values each of `heads` heads has before a token with `past` before it: none, all, more (those of a
/// sequence that was cut), or a random number.
[[nodiscard]] std::vector<double> RandomFilled(int64_t heads, int64_t past, Random& random);
/// Checks that argument `arg` is the list of exactly these numbers.
void ExpectList(Problem& problem, size_t arg, std::vector<int32_t> numbers);
/// The dot product of `count` elements of a and b, from the given starts.
[[nodiscard]] double Dot(const std::vector<double>& a, int64_t a_start, const Argument& b, int64_t b_start,
                         int64_t count);
[[nodiscard]] double Dot(const Argument& a, int64_t a_start, const Argument& b, int64_t b_start, int64_t count);
/// `count` elements from `start`.
[[nodiscard]] std::vector<double> Values(const Argument& argument, int64_t start, int64_t count);
/// row = (row - mean) / sqrt(variance + epsilon) * gamma + beta.
void Normalise(std::vector<double>& row, const Argument& gamma, const Argument& beta, float epsilon);
/// All of argument 0; the layer norm of it where `norm` is on, whose gamma is argument number `gamma`.
[[nodiscard]] std::vector<double> NormedInput(const Problem& problem, const Norm& norm, size_t gamma);
/// The argument's magnitudes: a few sums of numbers of both signs may all be small beside their own rounding.
[[nodiscard]] Argument Magnitudes(const Argument& argument);
/// Random numbers of usual sizes, all zero, of very different sizes, or with one that is not finite.
[[nodiscard]] Argument PredictorInput(int64_t k, Random& random);
/// Random f32.
[[nodiscard]] Argument F32(int64_t count, double deviation, Random& random);
/// An optional argument that is not there.
[[nodiscard]] Argument Absent();

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_REFERENCEKERNELS_H_
