// Slow references in double precision, one for each kernel, written from the kernels' definitions alone.
#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "tests/conformance/Problem.h"
#include "tests/conformance/ReferenceKernels.h"

namespace dejavu::testing {
namespace {

using Maker = void (*)(Problem&, Random&);

void MakeLinear(Problem& problem, Random& random) {
  const LinearShape s = MatchLinear(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  problem.args = {F32(tokens * s.k, 1, random),
                  RandomArgument(s.dtype, static_cast<size_t>(s.n * s.k), 0.05, random),
                  s.bias ? F32(s.n, 1, random) : Absent(),
                  s.residual ? F32(tokens * s.n, 1, random) : Absent(),
                  s.norm.on ? F32(s.k, 1, random) : Absent(),
                  s.norm.on ? F32(s.k, 1, random) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(tokens * s.n))};
  if (s.n <= kFewSums) {
    problem.args[0] = Magnitudes(problem.args[0]);
    problem.args[1] = Magnitudes(problem.args[1]);
  }
  const std::vector<double> x = NormedInput(problem, s.norm, 4);
  std::vector<double> y;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < s.n; ++i) {
      double value = Dot(x, t * s.k, problem.args[1], i * s.k, s.k);
      value += s.bias ? problem.args[2].At(static_cast<size_t>(i)) : 0;
      value = s.relu ? std::max(value, 0.0) : value;
      value += s.residual ? problem.args[3].At(static_cast<size_t>(t * s.n + i)) : 0;
      y.push_back(value);
    }
  }
  ExpectFloats(problem, 6, std::move(y));
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
    const int64_t position = s.batch ? PastOf(problem, t) : problem.past + t;
    for (int64_t i = 0; i < s.width; ++i) {
      y.push_back(problem.args[0].At(static_cast<size_t>(t * s.width + i)) +
                  problem.args[1].At(static_cast<size_t>((position + s.offset) * s.width + i)));
    }
  }
  ExpectFloats(problem, 2, std::move(y));
}

void MakeLayerNorm(Problem& problem, Random& random) {
  const LayerNormShape s = MatchLayerNorm(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  problem.args = {F32(tokens * s.width, 3, random), F32(s.width, 1, random), F32(s.width, 1, random),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(tokens * s.width))};
  std::vector<double> y;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<double> row = Values(problem.args[0], t * s.width, s.width);
    Normalise(row, problem.args[1], problem.args[2], s.epsilon);
    y.insert(y.end(), row.begin(), row.end());
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

}  // namespace

int64_t Count(const Problem& problem, const Dim& tokens) { return tokens.is_static() ? tokens.size() : problem.tokens; }

void ExpectFloats(Problem& problem, size_t arg, std::vector<double> expected) {
  problem.check = [arg, expected = std::move(expected)](const std::vector<Argument>& args) {
    return CompareFloats(args[arg], expected, kTolerance);
  };
}

std::vector<double> Values(const Argument& argument, int64_t start, int64_t count) {
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(argument.At(static_cast<size_t>(start + i)));
  }
  return values;
}

void Normalise(std::vector<double>& row, const Argument& gamma, const Argument& beta, float epsilon) {
  const auto width = static_cast<double>(row.size());
  double mean = 0;
  double variance = 0;
  for (const double x : row) {
    mean += x / width;
  }
  for (const double x : row) {
    variance += (x - mean) * (x - mean) / width;
  }
  for (size_t i = 0; i < row.size(); ++i) {
    row[i] = (row[i] - mean) / std::sqrt(variance + static_cast<double>(epsilon)) * gamma.At(i) + beta.At(i);
  }
}

std::vector<double> NormedInput(const Problem& problem, const Norm& norm, size_t gamma) {
  const Argument& x = problem.args[0];
  std::vector<double> row = Values(x, 0, static_cast<int64_t>(x.bytes.size() / 4));
  if (norm.on) {
    Normalise(row, problem.args[gamma], problem.args[gamma + 1], norm.epsilon);
  }
  return row;
}

double Dot(const std::vector<double>& a, int64_t a_start, const Argument& b, int64_t b_start, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    sum += a[static_cast<size_t>(a_start + i)] * b.At(static_cast<size_t>(b_start + i));
  }
  return sum;
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

Argument Magnitudes(const Argument& argument) {
  std::vector<double> values =
      Values(argument, 0, static_cast<int64_t>(argument.bytes.size() / DTypeSize(argument.dtype)));
  std::transform(values.begin(), values.end(), values.begin(), [](double x) { return std::abs(x); });
  return ValuesArgument(argument.dtype, values);
}

Argument Absent() { return {DType::kF32, {}, false, -1}; }

namespace {

void Make(Problem& problem, Random& random) {
  static const std::map<std::string, Maker> makers = {{"embed_tokens", &MakeEmbedTokens},
                                                      {"embed_positions", &MakeEmbedPositions},
                                                      {"layer_norm", &MakeLayerNorm},
                                                      {"linear", &MakeLinear},
                                                      {"add", &MakeAdd},
                                                      {"last_row", &MakeLastRow},
                                                      {"attention", &MakeAttention},
                                                      {"certified_test", &MakeCertifiedTest},
                                                      {"argmax", &MakeArgmax},
                                                      {"compact", &MakeCompact},
                                                      {"quantized_linear", &MakeQuantizedLinear},
                                                      {"quantized_test", &MakeQuantizedTest},
                                                      {"select", &MakeSelect},
                                                      {"sparse_qkv", &MakeSparseQkv},
                                                      {"lazy_qkv", &MakeLazyQkv},
                                                      {"lazy_attention", &MakeLazyAttention},
                                                      {"keep_inputs", &MakeKeepInputs},
                                                      {"sparse_out", &MakeSparseOut},
                                                      {"sparse_fc1", &MakeSparseFc1},
                                                      {"sparse_fc2", &MakeSparseFc2},
                                                      {"joint", &MakeJoint}};
  makers.at(problem.spec.kernel)(problem, random);
}

}  // namespace

// The parts' problems side by side.
void MakeJoint(Problem& problem, Random& random) {
  struct Part {
    size_t begin;
    size_t end;
    std::function<std::string(const std::vector<Argument>&)> check;
  };
  std::vector<Part> parts;
  const bool same_input = problem.spec.attributes.contains(kSameInput);
  const size_t gamma = problem.spec.parts[0].operands.size() - 2;  // of the first part, with beta its last operands
  for (const KernelSpec& spec : problem.spec.parts) {
    Problem part;
    part.spec = spec;
    part.tokens = problem.tokens;
    part.past = problem.past;
    if (same_input && !parts.empty()) {
      part.given = {problem.args[0], problem.args[gamma], problem.args[gamma + 1]};
    }
    Make(part, random);
    const size_t begin = problem.args.size();
    for (size_t i = 0; i < part.args.size(); ++i) {
      Argument argument = part.args[i];
      argument.same_as += argument.same_as >= 0 ? static_cast<int>(begin) : 0;
      if (!part.given.empty() && argument.present && (i == 0 || i == 4 || i == 5)) {
        argument.same_as = static_cast<int>(i == 0 ? 0 : gamma + i - 4);
      }
      problem.args.push_back(std::move(argument));
    }
    parts.push_back({begin, problem.args.size(), part.check});
  }
  problem.check = [parts](const std::vector<Argument>& args) {
    std::string wrong;
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto begin = args.begin() + static_cast<ptrdiff_t>(parts[i].begin);
      const std::string message = parts[i].check({begin, args.begin() + static_cast<ptrdiff_t>(parts[i].end)});
      wrong += message.empty() ? "" : absl::StrCat("part ", i, ": ", message, "; ");
    }
    return wrong;
  };
}

Problem MakeProblem(const KernelSpec& spec, int64_t tokens, int64_t past, Random& random) {
  Problem problem;
  problem.spec = spec;
  problem.tokens = tokens;
  problem.past = past;
  Make(problem, random);
  return problem;
}

}  // namespace dejavu::testing
