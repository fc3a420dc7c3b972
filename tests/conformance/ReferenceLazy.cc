// The references of the kernels for heads that get their keys and values when they wake.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "tests/conformance/ReferenceKernels.h"

namespace dejavu::testing {
namespace {

bool IsListed(const std::vector<int32_t>& list, int64_t head) {
  return std::binary_search(list.begin(), list.end(), head);
}

/// Rows that must not be read are poisoned.
std::vector<double> Weights(const LazyQkvShape& s, const std::vector<int32_t>& list, Random& random) {
  std::normal_distribution<double> normal(0, 0.05);
  std::vector<double> weights;
  for (int64_t row = 0; row < 3 * s.width; ++row) {
    const bool read = IsListed(list, row % s.width / s.head_dim());
    for (int64_t column = 0; column < s.width; ++column) {
      weights.push_back(read ? normal(random) : std::nan(""));
    }
  }
  return weights;
}

/// Inputs that no listed head missed must not be read: what comes before is poisoned.
Argument Inputs(const LazyQkvShape& s, int64_t first, int64_t past, Random& random) {
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (int64_t i = 0; i < s.positions * s.width; ++i) {
    const int64_t position = i / s.width;
    values.push_back(position >= first && position < past ? normal(random) : std::nan(""));
  }
  return ValuesArgument(DType::kF32, values);
}

/// Empty if `actual` is `expected` within kTolerance, place by place; NaN where that is expected.
std::string CompareState(const char* what, const Argument& actual, const std::vector<double>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i]) != std::isnan(actual.At(i))) {
      return absl::StrCat("element ", i, " of the ", what, " is ", actual.At(i), ", expected ", expected[i]);
    }
  }
  const std::string wrong = CompareKnownFloats(actual, expected, kTolerance);
  return wrong.empty() ? "" : absl::StrCat(what, ": ", wrong);
}

}  // namespace

std::vector<double> RandomFilled(int64_t heads, int64_t past, Random& random) {
  const uint64_t kind = random() % 6;
  std::vector<double> filled;
  for (int64_t head = 0; head < heads; ++head) {
    const auto some = static_cast<int64_t>(random() % static_cast<uint64_t>(past + 4));
    const auto few = static_cast<int64_t>(random() % 4);
    filled.push_back(static_cast<double>(kind == 0   ? 0
                                         : kind == 1 ? past
                                         : kind == 2 ? past + 3
                                         : kind == 3 ? std::max(past - few, int64_t{0})
                                                     : some));
  }
  return filled;
}

void MakeLazyQkv(Problem& problem, Random& random) {
  const LazyQkvShape s = MatchLazyQkv(problem.spec).value();
  const int64_t past = problem.past;
  const int64_t dim = s.head_dim();
  const std::vector<int32_t> list = RandomList(s.heads, random);
  const std::vector<double> filled = RandomFilled(s.heads, past, random);
  int64_t first = past;
  for (const int32_t head : list) {
    first = std::min(first, static_cast<int64_t>(filled[static_cast<size_t>(head)]));
  }
  // Keys and values that are there must stay; no others are.
  std::normal_distribution<double> normal;
  std::vector<double> cache;
  for (int64_t i = 0; i < 2 * s.positions * s.width; ++i) {
    const auto head = static_cast<size_t>(i / dim / s.positions % s.heads);
    const auto known = std::min(static_cast<int64_t>(filled[head]), past);
    cache.push_back(static_cast<float>(i / dim % s.positions < known ? normal(random) : std::nan("")));
  }
  problem.args = {F32(s.width, 1, random),
                  ValuesArgument(s.dtype, Weights(s, list, random)),
                  s.bias ? F32(3 * s.width, 1, random) : Absent(),
                  IndexArgument(list, static_cast<size_t>(s.heads)),
                  ValuesArgument(DType::kF32, cache),
                  Inputs(s, first, past, random),
                  ValuesArgument(DType::kI32, filled),
                  s.norm.on ? F32(s.width, 1, random) : Absent(),
                  s.norm.on ? F32(s.width, 1, random) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(3 * s.width)),
                  Argument{},
                  Argument{}};
  problem.args[10].same_as = 4;
  problem.args[11].same_as = 5;
  const std::vector<double> x = NormedInput(problem, s.norm, 7);
  std::vector<double> inputs = Values(problem.args[5], 0, s.positions * s.width);
  std::copy(x.begin(), x.end(), inputs.begin() + past * s.width);
  const auto sum = [&](int64_t row, int64_t position) {
    return Dot(inputs, position * s.width, problem.args[1], row * s.width, s.width) +
           (s.bias ? problem.args[2].At(static_cast<size_t>(row)) : 0);
  };
  std::vector<double> y;
  for (int64_t row = 0; row < 3 * s.width; ++row) {
    const int64_t head = row % s.width / dim;
    y.push_back(IsListed(list, head) ? sum(row, past) : std::nan(""));
    const auto known = static_cast<int64_t>(filled[static_cast<size_t>(head)]);
    for (int64_t position = known; row >= s.width && IsListed(list, head) && position < past; ++position) {
      const int64_t at = ((row / s.width - 1) * s.heads + head) * s.positions + position;
      cache[static_cast<size_t>(at * dim + row % dim)] = sum(row, position);
    }
  }
  problem.check = [y, cache, inputs, filled](const std::vector<Argument>& args) -> std::string {
    for (size_t head = 0; head < filled.size(); ++head) {
      if (args[6].At(head) != filled[head]) {
        return absl::StrCat("'filled' of head ", head, " has changed");
      }
    }
    const std::string wrong = CompareState("cache", args[4], cache) + CompareState("inputs", args[5], inputs);
    return wrong.empty() ? CompareKnownFloats(args[9], y, kTolerance) : wrong;
  };
}

void MakeKeepInputs(Problem& problem, Random& random) {
  const KeepInputsShape s = MatchKeepInputs(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  const int64_t past = problem.past;
  std::vector<double> inputs(static_cast<size_t>(s.positions * s.width), std::nan(""));
  std::fill_n(inputs.begin(), past * s.width, 0.5);
  problem.args = {F32(tokens * s.width, 1, random), ValuesArgument(DType::kF32, inputs),
                  PoisonedArgument(DType::kI32, static_cast<size_t>(s.heads)), Argument{}, Argument{}};
  problem.args[3].same_as = 1;
  problem.args[4].same_as = 2;
  const std::vector<double> x = Values(problem.args[0], 0, tokens * s.width);
  std::copy(x.begin(), x.end(), inputs.begin() + past * s.width);
  problem.check = [inputs, heads = s.heads, count = past + tokens](const std::vector<Argument>& args) -> std::string {
    for (int64_t head = 0; head < heads; ++head) {
      if (args[2].At(static_cast<size_t>(head)) != static_cast<double>(count)) {
        return absl::StrCat("head ", head, " has ", args[2].At(static_cast<size_t>(head)), " keys, expected ", count);
      }
    }
    return CompareState("inputs", args[1], inputs);
  };
}

}  // namespace dejavu::testing
