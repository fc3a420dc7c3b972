// One call of a kernel: random inputs, poisoned outputs, and what the outputs must be.
#ifndef DEJAVU_TESTS_CONFORMANCE_PROBLEM_H_
#define DEJAVU_TESTS_CONFORMANCE_PROBLEM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "codegen/target/KernelSpec.h"
#include "ir/base/DType.h"
#include "ir/base/Phases.h"

namespace dejavu::testing {

/// An argument of the kernel.
struct Argument {
  DType dtype = DType::kF32;
  std::vector<std::byte> bytes;
  bool present = true;
  int same_as = -1;  // the argument whose buffer this one is

  [[nodiscard]] double At(size_t index) const { return LoadAsDouble(dtype, bytes.data(), index); }
};

struct Problem {
  KernelSpec spec;
  int64_t tokens = 1;
  int64_t past = 0;
  std::vector<Argument> args;
  std::vector<Argument> given;  ///< x, gamma and beta, where those of another part of a joint kernel are read.
  /// Empty if the arguments after the call are right, else what is wrong.
  std::function<std::string(const std::vector<Argument>&)> check;
};

/// The tokens in the cache of a batch's sequence; they differ. The first has Problem::past of them.
[[nodiscard]] int64_t PastOf(const Problem& problem, int64_t sequence);
/// What the kernel gets as its dims: the tokens, then the past of each of as many sequences as there may be.
[[nodiscard]] std::array<int64_t, 1 + kMaxSequences> DimsOf(const Problem& problem);

using Random = std::mt19937_64;

/// Inputs for `spec` with `tokens` tokens where its number of tokens is symbolic.
[[nodiscard]] Problem MakeProblem(const KernelSpec& spec, int64_t tokens, int64_t past, Random& random);

/// An argument of `count` elements from a normal distribution, rounded to `dtype`.
[[nodiscard]] Argument RandomArgument(DType dtype, size_t count, double deviation, Random& random);
/// An argument of the given values, rounded to `dtype`.
[[nodiscard]] Argument ValuesArgument(DType dtype, const std::vector<double>& values);
/// An argument whose every byte is 0xFF: NaN, -1 or 255.
[[nodiscard]] Argument PoisonedArgument(DType dtype, size_t count);
/// index<active>: the count, padding to 64 bytes, then room for `capacity` numbers, the rest of it poisoned.
[[nodiscard]] Argument IndexArgument(const std::vector<int32_t>& numbers, size_t capacity);

/// Empty if ||actual - expected|| <= tolerance * ||expected||, over the first expected.size() elements.
[[nodiscard]] std::string CompareFloats(const Argument& actual, const std::vector<double>& expected, double tolerance);
/// The same, but where NaN is expected anything goes.
[[nodiscard]] std::string CompareKnownFloats(const Argument& actual, const std::vector<double>& expected,
                                             double tolerance);

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_PROBLEM_H_
