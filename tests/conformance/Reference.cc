// Slow references in double precision, one for each kernel, written from the kernels' definitions alone.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "tests/conformance/Problem.h"
#include "tests/conformance/QuantizeRows.h"

namespace dejavu::testing {
namespace {

// Results are f32 sums of up to a few thousand rounded products; 1e-5 holds with room for widths to 4096.
constexpr double kTolerance = 1e-5;

using Maker = void (*)(Problem&, Random&);

int64_t Count(const Problem& problem, const Dim& tokens) { return tokens.is_static() ? tokens.size() : problem.tokens; }

void ExpectFloats(Problem& problem, size_t arg, std::vector<double> expected) {
  problem.check = [arg, expected = std::move(expected)](const std::vector<Argument>& args) {
    return CompareFloats(args[arg], expected, kTolerance);
  };
}

double Dot(const Argument& a, int64_t a_start, const Argument& b, int64_t b_start, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += a.At(static_cast<size_t>(a_start + i)) * b.At(static_cast<size_t>(b_start + i));
  }
  return sum;
}

Argument F32(int64_t count, double deviation, Random& random) {
  return RandomArgument(DType::kF32, static_cast<size_t>(count), deviation, random);
}

Argument Absent() { return {DType::kF32, {}, false, -1}; }

// Ascending, about a third of the n numbers, the last one included.
[[maybe_unused]] std::vector<int32_t> RandomSelection(int64_t n, Random& random) {
  std::vector<int32_t> numbers;
  for (int64_t i = 0; i < n; ++i) {
    if (i == n - 1 || random() % 3 == 0) {
      numbers.push_back(static_cast<int32_t>(i));
    }
  }
  return numbers;
}

void MakeLinear(Problem& problem, Random& random) {
  const LinearShape s = MatchLinear(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  problem.args = {F32(tokens * s.k, 1, random),
                  RandomArgument(s.dtype, static_cast<size_t>(s.n * s.k), 0.05, random),
                  s.bias ? F32(s.n, 1, random) : Absent(), s.residual ? F32(tokens * s.n, 1, random) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(tokens * s.n))};
  std::vector<double> y;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < s.n; ++i) {
      double value = Dot(problem.args[0], t * s.k, problem.args[1], i * s.k, s.k);
      value += s.bias ? problem.args[2].At(static_cast<size_t>(i)) : 0;
      value = s.relu ? std::max(value, 0.0) : value;
      value += s.residual ? problem.args[3].At(static_cast<size_t>(t * s.n + i)) : 0;
      y.push_back(value);
    }
  }
  ExpectFloats(problem, 4, std::move(y));
}

}  // namespace

Problem MakeProblem(const KernelSpec& spec, int64_t tokens, int64_t past, Random& random) {
  static const std::map<std::string, Maker> makers = {{"linear", &MakeLinear}};
  Problem problem;
  problem.spec = spec;
  problem.tokens = tokens;
  problem.past = past;
  makers.at(spec.kernel)(problem, random);
  return problem;
}

}  // namespace dejavu::testing
