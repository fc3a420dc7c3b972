// The references of the predictors' kernels. Their results are defined to the last bit.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "tests/conformance/ReferenceKernels.h"

namespace dejavu::testing {
namespace {

std::vector<double> RandomInt8(int64_t count, Random& random) {
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) {
    value = static_cast<double>(random() % 255) - 127;
  }
  return values;
}

// (scale step) (q8 . n) up + bias for each row, from the token's part of the input.
std::vector<double> QuantizedProducts(const QuantizedLinearShape& s, const Problem& problem,
                                      const std::vector<double>& input, int64_t token) {
  const auto x = [&](int64_t j) { return ToFloat(input[static_cast<size_t>(token * s.k + j)]); };
  double largest = 0;
  bool finite = true;
  for (int64_t j = 0; j < s.k; ++j) {
    finite = finite && std::isfinite(x(j));
    largest = std::max(largest, std::abs(x(j)));
  }
  if (!finite) {
    return std::vector<double>(static_cast<size_t>(s.n), std::nan(""));
  }
  const double levels = std::min<double>(32767, std::floor(2147483647.0 / static_cast<double>(128 * s.k)));
  const double up = std::exp2(largest == 0 ? -126 : std::clamp(std::ilogb(largest), -126, 126));
  const double scaled = largest == 0 ? 1 : largest / up;
  const double step = ToFloat(scaled / levels);
  const double inverse = ToFloat(levels / scaled);
  const auto weight = [&](int64_t i, int64_t j) {
    if (s.bits == 8) {
      return problem.args[1].At(static_cast<size_t>(i * s.k + j));
    }
    // 32 columns to 16 bytes: the first 16 in lower halves. A half counts sixteens, from -8 to 7.
    const auto byte = static_cast<int>(problem.args[1].At(static_cast<size_t>(i * s.k / 2 + j / 32 * 16 + j % 16)));
    const int half = (j % 32 < 16 ? byte : byte >> 4) & 15;
    return 16.0 * (half < 8 ? half : half - 16);
  };
  std::vector<double> y;
  for (int64_t i = 0; i < s.n; ++i) {
    double dot = 0;
    for (int64_t j = 0; j < s.k; ++j) {
      dot += weight(i, j) * std::nearbyint(ToFloat(x(j) / up * inverse));
    }
    const double scale = ToFloat(problem.args[2].At(static_cast<size_t>(i)) * step);
    const double product = ToFloat(ToFloat(scale * ToFloat(dot)) * up);
    y.push_back(s.bias ? ToFloat(product + problem.args[3].At(static_cast<size_t>(i))) : product);
  }
  return y;
}

// Random, all positive, none, just one, or few different ones.
std::vector<double> RandomScores(int64_t n, Random& random) {
  const uint64_t kind = random() % 6;
  std::normal_distribution<double> normal;
  std::vector<double> scores(static_cast<size_t>(n));
  for (double& score : scores) {
    score = kind == 1   ? std::abs(normal(random)) + 1e-3
            : kind == 2 ? -std::abs(normal(random))
            : kind == 3 ? -1
            : kind == 4 ? static_cast<double>(random() % 3) - 1
                        : normal(random);
  }
  if (kind == 3) {
    scores[random() % scores.size()] = 1e-40;  // a denormal is positive
  }
  if (kind == 5) {
    scores[random() % scores.size()] = std::nan("");
    scores[random() % scores.size()] = random() % 2 == 0 ? kInfinity : -kInfinity;
    scores[random() % scores.size()] = -0.0;
  }
  return scores;
}

// The numbers that one token's scores choose.
std::vector<int32_t> Chosen(const Argument& scores, const SelectShape& s) {
  const auto score = [&](int32_t i) {
    const double value = scores.At(static_cast<size_t>(i));
    return std::isnan(value) ? kInfinity : value;
  };
  const auto is_nan = [&](int32_t i) { return std::isnan(scores.At(static_cast<size_t>(i))); };
  std::vector<int32_t> numbers(static_cast<size_t>(s.n));
  std::iota(numbers.begin(), numbers.end(), 0);
  if (s.k > 0) {
    std::stable_sort(numbers.begin(), numbers.end(), [&](int32_t a, int32_t b) {
      return score(a) != score(b) ? score(a) > score(b) : is_nan(a) && !is_nan(b);
    });
    numbers.resize(static_cast<size_t>(s.k));
  } else {
    std::erase_if(numbers, [&](int32_t i) { return score(i) <= 0; });
  }
  return numbers;
}

}  // namespace

Argument PredictorInput(int64_t k, Random& random) {
  const uint64_t kind = random() % 8;
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> exponent(-140, 90);
  std::vector<double> x(static_cast<size_t>(k));
  for (double& value : x) {
    value = kind == 0 ? 0 : normal(random) * (kind == 1 ? std::exp2(exponent(random)) : 1);
  }
  if (kind == 2) {
    x[random() % x.size()] = random() % 2 == 0 ? -kInfinity : std::nan("");
  }
  return ValuesArgument(DType::kF32, x);
}

void MakeQuantizedLinear(Problem& problem, Random& random) {
  const QuantizedLinearShape s = MatchQuantizedLinear(problem.spec).value();
  Argument x = s.norm.on ? F32(s.k, 3, random) : PredictorInput(s.k, random);
  for (int64_t t = 1; t < s.tokens; ++t) {
    const Argument other = PredictorInput(s.k, random);
    x.bytes.insert(x.bytes.end(), other.bytes.begin(), other.bytes.end());
  }
  problem.args = {std::move(x),
                  ValuesArgument(DType::kI8, RandomInt8(s.n * s.k * s.bits / 8, random)),
                  F32(s.n, 0.01, random),
                  s.bias ? F32(s.n, 1, random) : Absent(),
                  s.norm.on ? F32(s.k, 1, random) : Absent(),
                  s.norm.on ? F32(s.k, 1, random) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(s.n * s.tokens))};
  if (!problem.given.empty()) {
    problem.args[0] = problem.given[0];
    problem.args[4] = problem.given[1];
    problem.args[5] = problem.given[2];
  }
  const std::vector<double> input = NormedInput(problem, s.norm, 4);
  std::vector<double> y;
  for (int64_t t = 0; t < s.tokens; ++t) {
    const std::vector<double> row = QuantizedProducts(s, problem, input, t);
    y.insert(y.end(), row.begin(), row.end());
  }
  if (s.norm.on) {
    // The bits of x are the norm's, which rounds; an n that rounds the other way is one of 32767 levels off.
    problem.check = [y](const std::vector<Argument>& args) { return CompareFloats(args[6], y, 1e-4); };
    return;
  }
  problem.check = [y](const std::vector<Argument>& args) -> std::string {
    for (size_t i = 0; i < y.size(); ++i) {
      if (args[6].At(i) != y[i] && !(std::isnan(args[6].At(i)) && std::isnan(y[i]))) {
        return absl::StrCat("element ", i, " is ", args[6].At(i), ", expected ", y[i]);
      }
    }
    return "";
  };
}

void MakeSelect(Problem& problem, Random& random) {
  const SelectShape s = MatchSelect(problem.spec).value();
  std::vector<double> scores;
  std::set<int32_t> chosen;
  for (int64_t t = 0; t < s.tokens; ++t) {
    const std::vector<double> of_token = RandomScores(s.n, random);
    const std::vector<int32_t> numbers = Chosen(ValuesArgument(DType::kF32, of_token), s);
    scores.insert(scores.end(), of_token.begin(), of_token.end());
    chosen.insert(numbers.begin(), numbers.end());
  }
  problem.args = {ValuesArgument(DType::kF32, scores), PoisonedArgument(DType::kIndex, 16 + static_cast<size_t>(s.n))};
  ExpectList(problem, 1, {chosen.begin(), chosen.end()});
}

std::vector<int32_t> RandomList(int64_t all, Random& random) {
  const uint64_t kind = random() % 5;
  const auto one = static_cast<int64_t>(random() % static_cast<uint64_t>(all));
  std::vector<int32_t> list;
  for (int64_t i = 0; i < all; ++i) {
    const bool listed = kind == 0 ? false : kind == 1 ? true : kind == 2 ? i == one : random() % 2 == 0;
    if (listed) {
      list.push_back(static_cast<int32_t>(i));
    }
  }
  return list;
}

void MakeSparseQkv(Problem& problem, Random& random) {
  const SparseQkvShape s = MatchSparseQkv(problem.spec).value();
  const std::vector<int32_t> list = RandomList(s.heads, random);
  // Rows that must not be read are poisoned.
  std::normal_distribution<double> normal(0, 0.05);
  std::vector<double> weights;
  for (int64_t row = 0; row < 3 * s.width; ++row) {
    const bool read = row >= s.width || std::binary_search(list.begin(), list.end(), row / s.head_dim());
    for (int64_t column = 0; column < s.width; ++column) {
      weights.push_back(read ? normal(random) : std::nan(""));
    }
  }
  problem.args = {F32(s.tokens * s.width, 1, random),
                  ValuesArgument(s.dtype, weights),
                  s.bias ? F32(3 * s.width, 1, random) : Absent(),
                  IndexArgument(list, static_cast<size_t>(s.heads)),
                  s.norm.on ? F32(s.width, 1, random) : Absent(),
                  s.norm.on ? F32(s.width, 1, random) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(3 * s.width * s.tokens))};
  const std::vector<double> x = NormedInput(problem, s.norm, 4);
  std::vector<double> y;
  for (int64_t t = 0; t < s.tokens; ++t) {
    for (int64_t row = 0; row < 3 * s.width; ++row) {
      y.push_back(Dot(x, t * s.width, problem.args[1], row * s.width, s.width) +
                  (s.bias ? problem.args[2].At(static_cast<size_t>(row)) : 0));
    }
  }
  problem.check = [y](const std::vector<Argument>& args) { return CompareKnownFloats(args[6], y, kTolerance); };
}

void MakeSparseOut(Problem& problem, Random& random) {
  const SparseOutShape s = MatchSparseOut(problem.spec).value();
  const std::vector<int32_t> list = RandomList(s.heads, random);
  const auto listed = [&](int64_t column) {
    return std::binary_search(list.begin(), list.end(), column / s.head_dim());
  };
  // Columns that must not be read are poisoned, of x too.
  std::normal_distribution<double> normal;
  const auto value = [&](int64_t i, double deviation) {
    return listed(i % s.k) ? normal(random) * deviation : std::nan("");
  };
  std::vector<double> x;
  std::vector<double> weights;
  for (int64_t i = 0; i < s.n * s.k; ++i) {
    weights.push_back(value(i, 0.05));
  }
  for (int64_t i = 0; i < s.tokens * s.k; ++i) {
    x.push_back(value(i, 1));
  }
  problem.args = {ValuesArgument(DType::kF32, x),
                  ValuesArgument(s.dtype, weights),
                  s.bias ? F32(s.n, 1, random) : Absent(),
                  s.residual ? F32(s.tokens * s.n, 1, random) : Absent(),
                  IndexArgument(list, static_cast<size_t>(s.heads)),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(s.n * s.tokens))};
  std::vector<double> y;
  for (int64_t i = 0; i < s.tokens * s.n; ++i) {
    const int64_t row = i % s.n;
    double sum = s.bias ? problem.args[2].At(static_cast<size_t>(row)) : 0;
    sum += s.residual ? problem.args[3].At(static_cast<size_t>(i)) : 0;
    for (int64_t column = 0; column < s.k; ++column) {
      const auto at = static_cast<size_t>(row * s.k + column);
      const auto of_x = static_cast<size_t>(i / s.n * s.k + column);
      sum += listed(column) ? problem.args[0].At(of_x) * problem.args[1].At(at) : 0;
    }
    y.push_back(sum);
  }
  ExpectFloats(problem, 5, std::move(y));
}

}  // namespace dejavu::testing
