// The reference of attention, in double precision.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "tests/conformance/ReferenceKernels.h"

namespace dejavu::testing {
namespace {

int64_t Sequences(const AttentionShape& s) { return s.batch ? s.tokens.size() : 1; }

// The elements of one sequence's cache.
int64_t CacheOf(const AttentionShape& s) { return 2 * s.heads * s.positions * s.head_dim; }

// The cache is poisoned where no token was stored yet.
Argument RandomCache(const AttentionShape& s, const Problem& problem, Random& random) {
  std::normal_distribution<double> normal;
  std::vector<double> values;
  for (int64_t i = 0; i < Sequences(s) * CacheOf(s); ++i) {
    const int64_t position = i / s.head_dim % s.positions;
    values.push_back(position < PastOf(problem, i / CacheOf(s)) ? normal(random) : std::nan(""));
  }
  return ValuesArgument(DType::kF32, values);
}

// The cache with K and V of the new tokens in their places.
std::vector<double> ExpectedCache(const AttentionShape& s, const Problem& problem, int64_t tokens) {
  const int64_t width = s.heads * s.head_dim;
  std::vector<double> cache;
  for (int64_t i = 0; i < Sequences(s) * CacheOf(s); ++i) {
    const int64_t sequence = i / CacheOf(s);
    const int64_t column = i % s.head_dim;
    const int64_t position = i / s.head_dim % s.positions;
    const int64_t head = i / (s.head_dim * s.positions) % s.heads;
    const int64_t part = 1 + i / (s.head_dim * s.positions * s.heads) % 2;
    const int64_t token = position - PastOf(problem, sequence);
    const bool is_new = token >= 0 && token < tokens / Sequences(s);
    const int64_t from = ((token + sequence) * 3 + part) * width + head * s.head_dim + column;
    const size_t index = static_cast<size_t>(is_new ? from : i);
    cache.push_back(problem.args[is_new ? 0 : 1].At(index));
  }
  return cache;
}

// Queries of heads that are not listed must not count.
void Poison(Argument& qkv, const AttentionShape& s, const std::vector<int32_t>& list) {
  const int64_t width = s.heads * s.head_dim;
  for (int64_t i = 0; i < s.tokens.size() * width; ++i) {
    if (!std::binary_search(list.begin(), list.end(), i % width / s.head_dim)) {
      std::fill_n(qkv.bytes.begin() + (i / width * 3 * width + i % width) * 4, 4, std::byte{0xFF});
    }
  }
}

// exp(scores - max) / sum of them
void Softmax(std::vector<double>& scores) {
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (double& score : scores) {
    score = std::exp(score - largest);
    total += score;
  }
  for (double& score : scores) {
    score /= total;
  }
}

// The head's part of token t's row of y.
std::vector<double> Attend(const AttentionShape& s, const Problem& problem, const std::vector<double>& cache, int64_t t,
                           int64_t head) {
  const int64_t sequence = s.batch ? t : 0;
  const int64_t last = PastOf(problem, sequence) + (s.batch ? 0 : t);
  const auto cached = [&](int64_t part, int64_t position, int64_t column) {
    return cache[static_cast<size_t>((((2 * sequence + part) * s.heads + head) * s.positions + position) * s.head_dim +
                                     column)];
  };
  std::vector<double> weights;
  for (int64_t position = 0; position <= last; ++position) {
    double dot = 0;
    for (int64_t i = 0; i < s.head_dim; ++i) {
      const int64_t query = t * 3 * s.heads * s.head_dim + head * s.head_dim + i;
      dot += problem.args[0].At(static_cast<size_t>(query)) * cached(0, position, i);
    }
    weights.push_back(dot * static_cast<double>(s.scale));
  }
  Softmax(weights);
  std::vector<double> y(static_cast<size_t>(s.head_dim), 0.0);
  for (int64_t i = 0; i < s.head_dim; ++i) {
    for (size_t position = 0; position < weights.size(); ++position) {
      y[static_cast<size_t>(i)] += weights[position] * cached(1, static_cast<int64_t>(position), i);
    }
  }
  return y;
}

}  // namespace

void MakeAttention(Problem& problem, Random& random) {
  const AttentionShape s = MatchAttention(problem.spec).value();
  const int64_t tokens = Count(problem, s.tokens);
  const int64_t width = s.heads * s.head_dim;
  const std::vector<int32_t> list = RandomList(s.heads, random);
  problem.args = {F32(tokens * 3 * width, 1.5, random), RandomCache(s, problem, random),
                  s.listed ? IndexArgument(list, static_cast<size_t>(s.heads)) : Absent(),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(tokens * width)), Argument{}};
  problem.args[4].same_as = 1;
  if (s.listed) {
    Poison(problem.args[0], s, list);
  }
  const std::vector<double> cache = ExpectedCache(s, problem, tokens);
  std::vector<double> y;
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t head = 0; head < s.heads; ++head) {
      const bool left_out = s.listed && !std::binary_search(list.begin(), list.end(), head);
      const std::vector<double> part = left_out ? std::vector<double>(static_cast<size_t>(s.head_dim), std::nan(""))
                                                : Attend(s, problem, cache, t, head);
      y.insert(y.end(), part.begin(), part.end());
    }
  }
  problem.check = [y, cache](const std::vector<Argument>& args) -> std::string {
    for (size_t i = 0; i < cache.size(); ++i) {
      if (args[1].At(i) != cache[i] && !(std::isnan(args[1].At(i)) && std::isnan(cache[i]))) {
        return absl::StrCat("element ", i, " of the cache is ", args[1].At(i), ", expected ", cache[i]);
      }
    }
    return CompareKnownFloats(args[3], y, kTolerance);
  };
}

// As a listed attention, but heads that are not listed find their part of the cache as it was.
void MakeLazyAttention(Problem& problem, Random& random) {
  const AttentionShape s = MatchAttention(problem.spec).value();
  const int64_t width = s.heads * s.head_dim;
  const std::vector<int32_t> list = RandomList(s.heads, random);
  const std::vector<double> filled = RandomFilled(s.heads, problem.past, random);
  problem.args = {F32(3 * width, 1.5, random),
                  RandomCache(s, problem, random),
                  IndexArgument(list, static_cast<size_t>(s.heads)),
                  ValuesArgument(DType::kI32, filled),
                  PoisonedArgument(DType::kF32, static_cast<size_t>(width)),
                  Argument{},
                  Argument{}};
  problem.args[5].same_as = 1;
  problem.args[6].same_as = 3;
  std::vector<double> cache = ExpectedCache(s, problem, 1);
  std::vector<double> y;
  std::vector<double> counts;
  const int64_t of_part = CacheOf(s) / 2;
  for (int64_t head = 0; head < s.heads; ++head) {
    const bool listed = std::binary_search(list.begin(), list.end(), head);
    const auto past = static_cast<double>(problem.past);
    counts.push_back(listed ? past + 1 : std::min(filled[static_cast<size_t>(head)], past));
    const std::vector<double> part = listed ? Attend(s, problem, cache, 0, head)
                                            : std::vector<double>(static_cast<size_t>(s.head_dim), std::nan(""));
    y.insert(y.end(), part.begin(), part.end());
    for (int64_t i = 0; !listed && i < 2 * s.head_dim; ++i) {
      const int64_t row = (i / s.head_dim * of_part) + (head * s.positions + problem.past) * s.head_dim;
      cache[static_cast<size_t>(row + i % s.head_dim)] = std::nan("");
    }
  }
  problem.check = [y, cache, counts](const std::vector<Argument>& args) -> std::string {
    for (size_t i = 0; i < cache.size(); ++i) {
      if (args[1].At(i) != cache[i] && !(std::isnan(args[1].At(i)) && std::isnan(cache[i]))) {
        return absl::StrCat("element ", i, " of the cache is ", args[1].At(i), ", expected ", cache[i]);
      }
    }
    for (size_t head = 0; head < counts.size(); ++head) {
      if (args[3].At(head) != counts[head]) {
        return absl::StrCat("head ", head, " has ", args[3].At(head), " keys, expected ", counts[head]);
      }
    }
    return CompareKnownFloats(args[4], y, kTolerance);
  };
}

}  // namespace dejavu::testing
