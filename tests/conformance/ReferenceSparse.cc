// The references of the kernels for exact sparsity, in double precision.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "tests/conformance/Cases.h"
#include "tests/conformance/QuantizeRows.h"
#include "tests/conformance/ReferenceKernels.h"

namespace dejavu::testing {
namespace {

// Ascending, about a third of the n numbers, the last one included; now and then all of them, for which a list must
// have room, or none.
std::vector<int32_t> RandomSelection(int64_t n, Random& random) {
  std::vector<int32_t> numbers;
  const uint64_t kind = random() % 8;
  for (int64_t i = 0; i < n && kind != 0; ++i) {
    if (kind == 1 || i == n - 1 || random() % 3 == 0) {
      numbers.push_back(static_cast<int32_t>(i));
    }
  }
  return numbers;
}

/// Makes the logits as special as case `oddity` of argmax says.
void MakeOdd(std::vector<double>& logits, int64_t oddity, Random& random) {
  const size_t at = random() % logits.size();
  switch (oddity) {
    case 1:
      std::transform(logits.begin(), logits.end(), logits.begin(), [](double x) { return std::clamp(x, -0.5, 0.5); });
      break;
    case 2:
      logits[at] = std::nan("");
      break;
    case 3:
      logits[at] = kInfinity;
      break;
    case 4:
    case 5:
      for (size_t i = 0; i < logits.size(); ++i) {
        logits[i] = oddity == 4 && i == at ? -3.0 : -kInfinity;
      }
      break;
    default:
      break;
  }
}

}  // namespace

void MakeArgmax(Problem& problem, Random& random) {
  const ArgmaxShape s = MatchArgmax(problem.spec).value();
  std::vector<double> all;
  std::vector<int64_t> expected;
  std::normal_distribution<double> normal;
  for (int64_t token = 0; token < s.tokens; ++token) {
    std::vector<double> logits(static_cast<size_t>(s.n));
    std::generate(logits.begin(), logits.end(), [&] { return static_cast<float>(normal(random)); });
    MakeOdd(logits, (problem.past + token) % kArgmaxOddities, random);
    const auto is_wrong = [](double x) { return std::isnan(x) || x == std::numeric_limits<double>::infinity(); };
    const auto highest = std::max_element(logits.begin(), logits.end());
    const bool is_right = std::none_of(logits.begin(), logits.end(), is_wrong) && std::isfinite(*highest);
    expected.push_back(is_right ? highest - logits.begin() : -1);
    all.insert(all.end(), logits.begin(), logits.end());
  }
  problem.args = {ValuesArgument(DType::kF32, all), PoisonedArgument(DType::kI32, static_cast<size_t>(s.tokens))};
  // An output that nobody writes would still be -1.
  for (int64_t token = 0; token < s.tokens; ++token) {
    problem.args[1].bytes[static_cast<size_t>(4 * token)] = std::byte{7};
  }
  problem.check = [expected](const std::vector<Argument>& args) -> std::string {
    for (size_t i = 0; i < expected.size(); ++i) {
      if (args[1].At(i) != static_cast<double>(expected[i])) {
        return absl::StrCat("choice ", i, " is ", args[1].At(i), ", expected ", expected[i]);
      }
    }
    return "";
  };
}

void ExpectList(Problem& problem, size_t arg, std::vector<int32_t> numbers) {
  problem.check = [arg, numbers = std::move(numbers)](const std::vector<Argument>& args) -> std::string {
    if (args[arg].At(0) != static_cast<double>(numbers.size())) {
      return absl::StrCat("the count is ", args[arg].At(0), ", expected ", numbers.size());
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (args[arg].At(16 + i) != numbers[i]) {
        return absl::StrCat("entry ", i, " is ", args[arg].At(16 + i), ", expected ", numbers[i]);
      }
    }
    return "";
  };
}

void MakeCompact(Problem& problem, Random& random) {
  const CompactShape s = MatchCompact(problem.spec).value();
  std::vector<double> flags(static_cast<size_t>(s.n), 0.0);
  const std::vector<int32_t> numbers = RandomSelection(s.n, random);
  for (const int32_t number : numbers) {
    flags[static_cast<size_t>(number)] = static_cast<double>(1 + random() % 255);
  }
  const auto capacity = static_cast<size_t>(s.n);
  problem.args = {ValuesArgument(DType::kU8, flags), Absent(), PoisonedArgument(DType::kIndex, 16 + capacity)};
  if (!s.among) {
    ExpectList(problem, 2, numbers);
    return;
  }
  // Flags behind those of the list's entries are set: nothing may come of them.
  const std::vector<int32_t> candidates = RandomList(s.n, random);
  std::vector<int32_t> listed;
  for (size_t i = 0; i < capacity; ++i) {
    if (i >= candidates.size()) {
      flags[i] = 255;
    } else if (flags[i] != 0) {
      listed.push_back(candidates[i]);
    }
  }
  problem.args[0] = ValuesArgument(DType::kU8, flags);
  problem.args[1] = IndexArgument(candidates, capacity);
  ExpectList(problem, 2, listed);
}

void MakeSparseFc1(Problem& problem, Random& random) {
  const SparseFc1Shape s = MatchSparseFc1(problem.spec).value();
  const std::vector<int32_t> numbers = RandomSelection(s.n, random);
  problem.args = {F32(s.tokens * s.k, 1, random),
                  RandomArgument(s.dtype, static_cast<size_t>(s.n * s.k), 0.05, random),
                  F32(s.n, 1, random),
                  IndexArgument(numbers, static_cast<size_t>(s.n)),
                  s.norm.on ? F32(s.k, 1, random) : Absent(),
                  s.norm.on ? F32(s.k, 1, random) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(s.n * s.tokens))};
  // Where there are few, all may be sums that cancel.
  if (s.n <= kFewSums) {
    for (const size_t arg : {0, 1, 2}) {
      problem.args[arg] = Magnitudes(problem.args[arg]);
    }
  }
  const std::vector<double> x = NormedInput(problem, s.norm, 4);
  std::vector<double> h;
  for (const int32_t i : numbers) {
    for (int64_t t = 0; t < s.tokens; ++t) {
      const double sum = Dot(x, t * s.k, problem.args[1], i * s.k, s.k);
      h.push_back(std::max(0.0, sum + problem.args[2].At(static_cast<size_t>(i))));
    }
  }
  // Nothing is written past the active entries.
  problem.check = [h](const std::vector<Argument>& args) -> std::string {
    for (size_t i = h.size(); i < args[6].bytes.size() / 4; ++i) {
      if (!std::isnan(args[6].At(i))) {
        return absl::StrCat("entry ", i, " past the active ones was written");
      }
    }
    return CompareFloats(args[6], h, kTolerance);
  };
}

void MakeSparseFc2(Problem& problem, Random& random) {
  const SparseFc2Shape s = MatchSparseFc2(problem.spec).value();
  const std::vector<int32_t> numbers = RandomSelection(s.n, random);
  std::normal_distribution<double> normal;
  const auto tokens = static_cast<size_t>(s.tokens);
  std::vector<double> h;
  for (size_t i = 0; i < numbers.size() * tokens; ++i) {
    h.push_back(std::max(0.0, normal(random)));
  }
  // Rows that must not be read are poisoned: inactive neurons, and those with h = 0 for all tokens.
  std::vector<double> weights(static_cast<size_t>(s.n * s.width), std::nan(""));
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto of_row = h.begin() + static_cast<ptrdiff_t>(i * tokens);
    const bool used = std::any_of(of_row, of_row + s.tokens, [](double value) { return value > 0; });
    for (int64_t column = 0; used && column < s.width; ++column) {
      weights[static_cast<size_t>(numbers[i] * s.width + column)] = normal(random) * 0.05;
    }
  }
  Argument h_argument = PoisonedArgument(DType::kF32, static_cast<size_t>(s.n) * tokens);
  const Argument h_active = ValuesArgument(DType::kF32, h);
  std::copy(h_active.bytes.begin(), h_active.bytes.end(), h_argument.bytes.begin());
  problem.args = {h_argument,
                  IndexArgument(numbers, static_cast<size_t>(s.n)),
                  ValuesArgument(s.dtype, weights),
                  F32(s.width, 1, random),
                  s.residual ? F32(s.tokens * s.width, 1, random) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(s.width) * tokens)};
  std::vector<double> y;
  for (int64_t at = 0; at < s.tokens * s.width; ++at) {
    const int64_t column = at % s.width;
    double sum = problem.args[3].At(static_cast<size_t>(column));
    sum += s.residual ? problem.args[4].At(static_cast<size_t>(at)) : 0;
    for (size_t i = 0; i < numbers.size(); ++i) {
      const size_t of_h = i * tokens + static_cast<size_t>(at / s.width);
      if (h[of_h] > 0) {
        sum += problem.args[0].At(of_h) * problem.args[2].At(static_cast<size_t>(numbers[i] * s.width + column));
      }
    }
    y.push_back(sum);
  }
  ExpectFloats(problem, 5, std::move(y));
}

// Flags are right if no positive neuron is dropped, and if a neuron is dropped whose sum is below zero by a little more
// than the margin that the kernel's definition allows.
void MakeCertifiedTest(Problem& problem, Random& random) {
  const CertifiedTestShape s = MatchCertifiedTest(problem.spec).value();
  const Argument weights = RandomArgument(DType::kF32, static_cast<size_t>(s.n * s.k), 0.05, random);
  const Argument bias = F32(s.n, 1, random);
  std::vector<float> weight_values;
  std::vector<float> bias_values;
  for (int64_t i = 0; i < s.n * s.k; ++i) {
    weight_values.push_back(static_cast<float>(weights.At(static_cast<size_t>(i))));
  }
  for (int64_t i = 0; i < s.n; ++i) {
    bias_values.push_back(static_cast<float>(bias.At(static_cast<size_t>(i))));
  }
  const QuantizedRows rows = QuantizeRows(weight_values, bias_values, s.k);
  problem.args = {F32(s.tokens * s.k, 1, random), ValuesArgument(DType::kI8, {rows.q8.begin(), rows.q8.end()}),
                  ValuesArgument(DType::kF32, {rows.rows.begin(), rows.rows.end()}),
                  PoisonedArgument(DType::kU8, static_cast<size_t>(s.n))};

  // Of the token for which a sum is the furthest above what the margin allows, as one is enough for a flag.
  std::vector<std::pair<double, double>> sums_and_margins(static_cast<size_t>(s.n), {-kInfinity, 0.0});
  for (int64_t t = 0; t < s.tokens; ++t) {
    double largest = 0;
    for (int64_t i = 0; i < s.k; ++i) {
      largest = std::max(largest, std::abs(problem.args[0].At(static_cast<size_t>(t * s.k + i))));
    }
    const double step = largest / std::min(32767.0, std::floor(2147483647.0 / static_cast<double>(128 * s.k)));
    const double norm = std::sqrt(Dot(problem.args[0], t * s.k, problem.args[0], t * s.k, s.k));
    const double error = 0.5 * step * std::sqrt(static_cast<double>(s.k));
    for (int64_t i = 0; i < s.n; ++i) {
      const double sum = Dot(problem.args[0], t * s.k, weights, i * s.k, s.k) + bias.At(static_cast<size_t>(i));
      const double row_residual = rows.rows[static_cast<size_t>(4 * i + 1)];
      const double row_norm = rows.rows[static_cast<size_t>(4 * i + 2)];
      const double margin = 2 * row_residual * (norm + error) + row_norm * (error + 1e-3 * norm) + 1e-3;
      auto& kept = sums_and_margins[static_cast<size_t>(i)];
      // A positive sum is what must not be dropped; below zero, what comes nearest to being kept.
      const bool nearer = (sum > 0 || kept.first > 0) ? sum > kept.first : sum + margin > kept.first + kept.second;
      kept = nearer ? std::pair(sum, margin) : kept;
    }
  }
  problem.check = [sums_and_margins](const std::vector<Argument>& args) -> std::string {
    for (size_t i = 0; i < sums_and_margins.size(); ++i) {
      const auto [sum, margin] = sums_and_margins[i];
      const double flag = args[3].At(i);
      if ((flag != 0 && flag != 1) || (flag == 0 && sum > 0) || (flag == 1 && sum < -margin)) {
        return absl::StrCat("flag ", i, " is ", flag, " for a sum of ", sum, " with margin ", margin);
      }
    }
    return "";
  };
}

}  // namespace dejavu::testing
