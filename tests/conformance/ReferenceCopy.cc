// The reference of quantized_test, whose flags are defined to the last bit where x is not normalised first.
#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "codegen/target/KernelShapes.h"
#include "ir/base/QuantizedCopy.h"
#include "tests/conformance/ReferenceKernels.h"

namespace dejavu::testing {
namespace {

// The field of column `column` in a plane of `bits` bits that starts at byte `start` of the copy.
int64_t Field(const Argument& copy, int64_t start, int64_t bits, int64_t column) {
  const int64_t fields = 8 / bits;
  const int64_t block = column / (16 * fields);
  const int64_t field = column / 16 % fields;
  const auto byte = std::to_integer<int64_t>(copy.bytes[static_cast<size_t>(start + 16 * block + column % 16)]);
  return byte >> (bits * field) & ((1 << bits) - 1);
}

int64_t Element(const Argument& copy, const QuantizedTestShape& s, int64_t row, int64_t column) {
  const auto blocks = [&](int64_t bits) { return (s.k + 128 / bits - 1) / (128 / bits); };
  const int64_t low_bits = s.bits == 8 ? 4 : s.bits == 3 ? 2 : s.bits;
  const int64_t high_bits = s.bits - low_bits;
  const int64_t row_bytes = 16 * (blocks(low_bits) + (high_bits > 0 ? blocks(high_bits) : 0));
  const int64_t low = Field(copy, row * row_bytes, low_bits, column);
  return high_bits == 0 ? low
                        : low + (Field(copy, row * row_bytes + 16 * blocks(low_bits), high_bits, column) << low_bits);
}

// A copy of random numbers; fields past the last column, which are zero in a real one, are of no matter.
Argument RandomCopy(const QuantizedTestShape& s, Random& random) {
  const bool extreme = random() % 8 == 0;
  Argument copy = PoisonedArgument(DType::kI8, static_cast<size_t>(s.n * CopyRowBytes(s.bits, s.k)));
  for (std::byte& byte : copy.bytes) {
    byte = extreme ? std::byte{0xFF} : static_cast<std::byte>(random());
  }
  return copy;
}

Argument RandomScales(const QuantizedTestShape& s, Random& random) {
  const bool extreme = random() % 8 == 0;
  const auto most = static_cast<uint64_t>(MostGroupScale(s.bits));
  std::vector<double> scales(static_cast<size_t>(s.n * CopyGroups(s.k, s.group)));
  for (double& scale : scales) {
    scale = static_cast<double>(extreme ? most : 1 + random() % most);
  }
  return ValuesArgument(DType::kI8, scales);
}

// Scale, bias and deviation, so that scores have both signs.
Argument RandomRows(const QuantizedTestShape& s, Random& random) {
  const double deviation = static_cast<double>(MostGroupScale(s.bits) * CopyCentre(s.bits)) / 3;
  std::normal_distribution<double> normal;
  std::vector<double> rows;
  for (int64_t i = 0; i < s.n; ++i) {
    rows.insert(rows.end(), {(0.5 + std::abs(normal(random))) / deviation / std::sqrt(static_cast<double>(s.k)),
                             normal(random), 0.3 * std::abs(normal(random))});
  }
  if (random() % 8 == 0) {
    rows[static_cast<size_t>(3 * (random() % static_cast<uint64_t>(s.n)))] = std::nan("");
  }
  return ValuesArgument(DType::kF32, rows);
}

// The numbers that are above zero, or not a number, where a neuron is listed; infinity for an x that is not finite.
std::vector<double> Scores(const QuantizedTestShape& s, const Problem& problem, const std::vector<double>& input) {
  double largest = 0;
  for (const double value : input) {
    largest = std::isfinite(ToFloat(value)) ? std::max(largest, std::abs(ToFloat(value))) : INFINITY;
    if (std::isinf(largest)) {
      return std::vector<double>(static_cast<size_t>(s.n), INFINITY);
    }
  }
  const double most = s.bits == 8 ? 7 : s.bits == 4 ? 63 : 127;
  const double centre = std::exp2(s.bits) - 1;
  const double levels = std::min(127.0, std::floor(2147483647.0 / (most * centre * static_cast<double>(s.k))));
  const double up = std::exp2(largest == 0 ? -126 : std::clamp(std::ilogb(largest), -126, 126));
  const double scaled = largest == 0 ? 1 : largest / up;
  const double step = ToFloat(scaled / levels);
  const double inverse = ToFloat(levels / scaled);
  std::vector<double> n;
  for (const double value : input) {
    n.push_back(std::nearbyint(ToFloat(ToFloat(value) / up * inverse)));
  }
  std::vector<double> scores;
  for (int64_t i = 0; i < s.n; ++i) {
    double dot = 0;
    for (int64_t j = 0; j < s.k; ++j) {
      const double scale = problem.args[2].At(static_cast<size_t>(i * ((s.k + s.group - 1) / s.group) + j / s.group));
      dot += scale * (2 * static_cast<double>(Element(problem.args[1], s, i, j)) - centre) * n[static_cast<size_t>(j)];
    }
    const auto at = [&](int64_t column) { return problem.args[3].At(static_cast<size_t>(3 * i + column)); };
    const double product = ToFloat(ToFloat(ToFloat(at(0) * step) * ToFloat(dot)) * up);
    scores.push_back(ToFloat(product + ToFloat(at(1) + ToFloat(static_cast<double>(s.margin) * at(2)))));
  }
  return scores;
}

// What a test of these neurons must not use; a NaN makes every score one that is listed.
void PoisonOthers(const QuantizedTestShape& s, const std::vector<int32_t>& neurons, Problem& problem) {
  for (const size_t arg : {1, 2, 3}) {
    std::vector<std::byte>& bytes = problem.args[arg].bytes;
    const size_t row = bytes.size() / static_cast<size_t>(s.n);
    std::vector<std::byte> kept(bytes.size(), std::byte{0xFF});
    for (const int32_t neuron : neurons) {
      const size_t at = row * static_cast<size_t>(neuron);
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), row, kept.begin() + static_cast<std::ptrdiff_t>(at));
    }
    bytes = std::move(kept);
  }
}

}  // namespace

void MakeQuantizedTest(Problem& problem, Random& random) {
  const QuantizedTestShape s = MatchQuantizedTest(problem.spec).value();
  problem.args = {s.norm.on ? F32(s.k, 3, random) : PredictorInput(s.k, random),
                  RandomCopy(s, random),
                  RandomScales(s, random),
                  RandomRows(s, random),
                  Absent(),
                  s.norm.on ? F32(s.k, 1, random) : Absent(),
                  s.norm.on ? F32(s.k, 1, random) : Absent(),
                  PoisonedArgument(DType::kU8, static_cast<size_t>(s.n))};
  std::vector<double> scores = Scores(s, problem, NormedInput(problem, s.norm, 5));
  if (s.among) {
    const std::vector<int32_t> candidates = RandomList(s.n, random);
    problem.args[4] = IndexArgument(candidates, static_cast<size_t>(s.n));
    PoisonOthers(s, candidates, problem);
    std::vector<double> of_list;
    for (const int32_t neuron : candidates) {
      of_list.push_back(scores[static_cast<size_t>(neuron)]);
    }
    scores = std::move(of_list);
  }
  // The bits of a normalised x are the norm's, which rounds; some n then round the other way.
  const double slack = s.norm.on ? 0.05 : 0;
  const auto all = static_cast<size_t>(s.n);
  problem.check = [scores, slack, all](const std::vector<Argument>& args) -> std::string {
    // Nothing is written past the flags.
    for (size_t i = scores.size(); i < all; ++i) {
      if (args[7].At(i) != 255) {
        return absl::StrCat("flag ", i, " is ", args[7].At(i), ", but there are ", scores.size());
      }
    }
    for (size_t i = 0; i < scores.size(); ++i) {
      const double flag = args[7].At(i);
      const bool listed = !(scores[i] <= 0);
      if ((flag != 0 && flag != 1) || ((flag == 1) != listed && !(std::abs(scores[i]) < slack))) {
        return absl::StrCat("flag ", i, " is ", flag, " for a score of ", scores[i]);
      }
    }
    return "";
  };
}

}  // namespace dejavu::testing
