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
std::vector<int32_t> RandomSelection(int64_t n, Random& random) {
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

void MakeEmbedTokens(Problem& problem, Random& random) {
  const EmbedTokensShape s = MatchEmbedTokens(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  std::vector<double> ids;
  for (int64_t t = 0; t < tokens; ++t) {
    ids.push_back(t == 0 ? static_cast<double>(s.vocab - 1)
                         : static_cast<double>(random() % static_cast<uint64_t>(s.vocab)));
  }
  problem.args = {ValuesArgument(DType::kI32, ids),
                  RandomArgument(s.dtype, static_cast<size_t>(s.vocab * s.width), 1, random),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(tokens * s.width))};
  std::vector<double> y;
  for (const double id : ids) {
    for (int64_t i = 0; i < s.width; ++i) {
      y.push_back(problem.args[1].At(static_cast<size_t>(static_cast<int64_t>(id) * s.width + i)));
    }
  }
  ExpectFloats(problem, 2, std::move(y));
}

void MakeEmbedPositions(Problem& problem, Random& random) {
  const EmbedPositionsShape s = MatchEmbedPositions(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  problem.args = {F32(tokens * s.width, 1, random),
                  RandomArgument(s.dtype, static_cast<size_t>(s.positions * s.width), 1, random),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(tokens * s.width))};
  std::vector<double> y;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < s.width; ++i) {
      y.push_back(problem.args[0].At(static_cast<size_t>(t * s.width + i)) +
                  problem.args[1].At(static_cast<size_t>((problem.past + t + s.offset) * s.width + i)));
    }
  }
  ExpectFloats(problem, 2, std::move(y));
}

void MakeLayerNorm(Problem& problem, Random& random) {
  const LayerNormShape s = MatchLayerNorm(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  problem.args = {F32(tokens * s.width, 3, random), F32(s.width, 1, random), F32(s.width, 1, random),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(tokens * s.width))};
  const auto width = static_cast<double>(s.width);
  std::vector<double> y;
  for (int64_t t = 0; t < tokens; ++t) {
    const auto x = [&](int64_t i) { return problem.args[0].At(static_cast<size_t>(t * s.width + i)); };
    double mean = 0;
    double variance = 0;
    for (int64_t i = 0; i < s.width; ++i) {
      mean += x(i) / width;
    }
    for (int64_t i = 0; i < s.width; ++i) {
      variance += (x(i) - mean) * (x(i) - mean) / width;
    }
    for (int64_t i = 0; i < s.width; ++i) {
      const auto column = static_cast<size_t>(i);
      const double normal = (x(i) - mean) / std::sqrt(variance + static_cast<double>(s.epsilon));
      y.push_back(normal * problem.args[1].At(column) + problem.args[2].At(column));
    }
  }
  ExpectFloats(problem, 3, std::move(y));
}

void MakeAdd(Problem& problem, Random& random) {
  const RowsShape s = MatchAdd(problem.spec).value();
  const int64_t count = Count(problem, s.tokens) * s.width;
  problem.args = {F32(count, 1, random), F32(count, 1, random),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(count))};
  std::vector<double> y;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    y.push_back(problem.args[0].At(i) + problem.args[1].At(i));
  }
  ExpectFloats(problem, 2, std::move(y));
}

void MakeLastRow(Problem& problem, Random& random) {
  const RowsShape s = MatchLastRow(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  problem.args = {F32(tokens * s.width, 1, random), PoisonedArgument(DType::kF32, static_cast<size_t>(s.width))};
  std::vector<double> y;
  for (int64_t i = 0; i < s.width; ++i) {
    y.push_back(problem.args[0].At(static_cast<size_t>((tokens - 1) * s.width + i)));
  }
  ExpectFloats(problem, 1, std::move(y));
}

// The cache is poisoned where no token was stored yet.
Argument RandomCache(const AttentionShape& s, int64_t past, Random& random) {
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (int64_t i = 0; i < 2 * s.heads * s.positions * s.head_dim; ++i) {
    const int64_t position = i / s.head_dim % s.positions;
    values.push_back(position < past ? normal(random) : std::nan(""));
  }
  return ValuesArgument(DType::kF32, values);
}

void MakeAttention(Problem& problem, Random& random) {
  const AttentionShape s = MatchAttention(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  const int64_t width = s.heads * s.head_dim;
  problem.args = {F32(tokens * 3 * width, 1.5, random), RandomCache(s, problem.past, random),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(tokens * width)), Argument{}};
  problem.args[3].same_as = 1;

  // The expected cache, f32 as the kernel's.
  std::vector<double> cache;
  for (int64_t i = 0; i < 2 * s.heads * s.positions * s.head_dim; ++i) {
    const int64_t column = i % s.head_dim;
    const int64_t position = i / s.head_dim % s.positions;
    const int64_t head = i / (s.head_dim * s.positions) % s.heads;
    const int64_t part = 1 + i / (s.head_dim * s.positions * s.heads);
    const int64_t token = position - problem.past;
    const bool is_new = token >= 0 && token < tokens;
    const int64_t from = (token * 3 + part) * width + head * s.head_dim + column;
    cache.push_back(is_new ? problem.args[0].At(static_cast<size_t>(from)) : problem.args[1].At(static_cast<size_t>(i)));
  }
  const auto cached = [&](int64_t part, int64_t head, int64_t position, int64_t column) {
    return cache[static_cast<size_t>(((part * s.heads + head) * s.positions + position) * s.head_dim + column)];
  };
  std::vector<double> y(static_cast<size_t>(tokens * width), 0.0);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t head = 0; head < s.heads; ++head) {
      std::vector<double> weights;
      for (int64_t position = 0; position <= problem.past + t; ++position) {
        double dot = 0;
        for (int64_t i = 0; i < s.head_dim; ++i) {
          dot += problem.args[0].At(static_cast<size_t>(t * 3 * width + head * s.head_dim + i)) *
                 cached(0, head, position, i);
        }
        weights.push_back(dot * static_cast<double>(s.scale));
      }
      const double largest = *std::max_element(weights.begin(), weights.end());
      double total = 0;
      for (double& weight : weights) {
        weight = std::exp(weight - largest);
        total += weight;
      }
      for (int64_t i = 0; i < s.head_dim; ++i) {
        for (size_t position = 0; position < weights.size(); ++position) {
          y[static_cast<size_t>(t * width + head * s.head_dim + i)] +=
              weights[position] / total * cached(1, head, static_cast<int64_t>(position), i);
        }
      }
    }
  }
  problem.check = [y, cache](const std::vector<Argument>& args) -> std::string {
    for (size_t i = 0; i < cache.size(); ++i) {
      if (args[1].At(i) != cache[i] && !(std::isnan(args[1].At(i)) && std::isnan(cache[i]))) {
        return absl::StrCat("element ", i, " of the cache is ", args[1].At(i), ", expected ", cache[i]);
      }
    }
    return CompareFloats(args[2], y, kTolerance);
  };
}

void MakeCompact(Problem& problem, Random& random) {
  const CompactShape s = MatchCompact(problem.spec).value();
  std::vector<double> flags(static_cast<size_t>(s.n), 0.0);
  const std::vector<int32_t> numbers = RandomSelection(s.n, random);
  for (const int32_t number : numbers) {
    flags[static_cast<size_t>(number)] = static_cast<double>(1 + random() % 255);
  }
  problem.args = {ValuesArgument(DType::kU8, flags), IndexArgument({}, static_cast<size_t>(s.n))};
  problem.args[1] = PoisonedArgument(DType::kIndex, 16 + static_cast<size_t>(s.n));
  problem.check = [numbers](const std::vector<Argument>& args) -> std::string {
    if (args[1].At(0) != static_cast<double>(numbers.size())) {
      return absl::StrCat("the count is ", args[1].At(0), ", expected ", numbers.size());
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (args[1].At(16 + i) != numbers[i]) {
        return absl::StrCat("entry ", i, " is ", args[1].At(16 + i), ", expected ", numbers[i]);
      }
    }
    return "";
  };
}

void MakeSparseFc1(Problem& problem, Random& random) {
  const SparseFc1Shape s = MatchSparseFc1(problem.spec).value();
  const std::vector<int32_t> numbers = RandomSelection(s.n, random);
  problem.args = {F32(s.k, 1, random), RandomArgument(s.dtype, static_cast<size_t>(s.n * s.k), 0.05, random),
                  F32(s.n, 1, random), IndexArgument(numbers, static_cast<size_t>(s.n)),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(s.n))};
  std::vector<double> h;
  for (const int32_t i : numbers) {
    const double sum = Dot(problem.args[0], 0, problem.args[1], i * s.k, s.k);
    h.push_back(std::max(0.0, sum + problem.args[2].At(static_cast<size_t>(i))));
  }
  // Nothing is written past the active entries.
  problem.check = [h](const std::vector<Argument>& args) -> std::string {
    for (size_t i = h.size(); i < args[4].bytes.size() / 4; ++i) {
      if (!std::isnan(args[4].At(i))) {
        return absl::StrCat("entry ", i, " past the active ones was written");
      }
    }
    return CompareFloats(args[4], h, kTolerance);
  };
}

void MakeSparseFc2(Problem& problem, Random& random) {
  const SparseFc2Shape s = MatchSparseFc2(problem.spec).value();
  const std::vector<int32_t> numbers = RandomSelection(s.n, random);
  std::normal_distribution<double> normal;
  std::vector<double> h;
  for (size_t i = 0; i < numbers.size(); ++i) {
    h.push_back(std::max(0.0, normal(random)));
  }
  // Rows that must not be read are poisoned: inactive neurons, and those with h = 0.
  std::vector<double> weights(static_cast<size_t>(s.n * s.width), std::nan(""));
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (int64_t column = 0; h[i] > 0 && column < s.width; ++column) {
      weights[static_cast<size_t>(numbers[i] * s.width + column)] = normal(random) * 0.05;
    }
  }
  Argument h_argument = PoisonedArgument(DType::kF32, static_cast<size_t>(s.n));
  const Argument h_active = ValuesArgument(DType::kF32, h);
  std::copy(h_active.bytes.begin(), h_active.bytes.end(), h_argument.bytes.begin());
  problem.args = {h_argument, IndexArgument(numbers, static_cast<size_t>(s.n)), ValuesArgument(s.dtype, weights),
                  F32(s.width, 1, random), s.residual ? F32(s.width, 1, random) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(s.width))};
  std::vector<double> y;
  for (int64_t column = 0; column < s.width; ++column) {
    const auto at = static_cast<size_t>(column);
    double sum = problem.args[3].At(at) + (s.residual ? problem.args[4].At(at) : 0);
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (h[i] > 0) {
        sum += problem.args[0].At(i) * problem.args[2].At(static_cast<size_t>(numbers[i] * s.width + column));
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
  problem.args = {F32(s.k, 1, random), ValuesArgument(DType::kI8, {rows.q8.begin(), rows.q8.end()}),
                  ValuesArgument(DType::kF32, {rows.rows.begin(), rows.rows.end()}),
                  PoisonedArgument(DType::kU8, static_cast<size_t>(s.n))};

  double largest = 0;
  for (int64_t i = 0; i < s.k; ++i) {
    largest = std::max(largest, std::abs(problem.args[0].At(static_cast<size_t>(i))));
  }
  const double step = largest / std::min(32767.0, std::floor(2147483647.0 / static_cast<double>(128 * s.k)));
  const double norm = std::sqrt(Dot(problem.args[0], 0, problem.args[0], 0, s.k));
  const double error = 0.5 * step * std::sqrt(static_cast<double>(s.k));
  std::vector<std::pair<double, double>> sums_and_margins;
  for (int64_t i = 0; i < s.n; ++i) {
    const double sum = Dot(problem.args[0], 0, weights, i * s.k, s.k) + bias.At(static_cast<size_t>(i));
    const double row_residual = rows.rows[static_cast<size_t>(4 * i + 1)];
    const double row_norm = rows.rows[static_cast<size_t>(4 * i + 2)];
    sums_and_margins.emplace_back(sum, 2 * row_residual * (norm + error) + row_norm * (error + 1e-3 * norm) + 1e-3);
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

}  // namespace

Problem MakeProblem(const KernelSpec& spec, int64_t tokens, int64_t past, Random& random) {
  static const std::map<std::string, Maker> makers = {{"embed_tokens", &MakeEmbedTokens},
                                                     {"embed_positions", &MakeEmbedPositions},
                                                     {"layer_norm", &MakeLayerNorm},
                                                     {"linear", &MakeLinear},
                                                     {"add", &MakeAdd},
                                                     {"last_row", &MakeLastRow},
                                                     {"attention", &MakeAttention},
                                                     {"certified_test", &MakeCertifiedTest},
                                                     {"compact", &MakeCompact},
                                                     {"sparse_fc1", &MakeSparseFc1},
                                                     {"sparse_fc2", &MakeSparseFc2}};
  Problem problem;
  problem.spec = spec;
  problem.tokens = tokens;
  problem.past = past;
  makers.at(spec.kernel)(problem, random);
  return problem;
}

}  // namespace dejavu::testing
