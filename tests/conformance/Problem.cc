#include "tests/conformance/Problem.h"

#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace dejavu::testing {
namespace {

template <typename T>
void Put(Argument& argument, size_t index, T value) {
  std::memcpy(argument.bytes.data() + index * sizeof(T), &value, sizeof(T));
}

}  // namespace

int64_t PastOf(const Problem& problem, int64_t sequence) {
  return problem.past * (kMaxSequences - sequence) / kMaxSequences;
}

std::array<int64_t, 1 + kMaxSequences> DimsOf(const Problem& problem) {
  std::array<int64_t, 1 + kMaxSequences> dims = {problem.tokens};
  for (int64_t i = 0; i < kMaxSequences; ++i) {
    dims[static_cast<size_t>(1 + i)] = PastOf(problem, i);
  }
  return dims;
}

Argument ValuesArgument(DType dtype, const std::vector<double>& values) {
  Argument argument{dtype, std::vector<std::byte>(values.size() * DTypeSize(dtype)), true, -1};
  for (size_t i = 0; i < values.size(); ++i) {
    switch (dtype) {
      case DType::kF16:
        Put(argument, i, FloatToHalf(static_cast<float>(values[i])));
        break;
      case DType::kBF16:
        Put(argument, i, FloatToBFloat16(static_cast<float>(values[i])));
        break;
      case DType::kI32:
        Put(argument, i, static_cast<int32_t>(values[i]));
        break;
      case DType::kI8:
        Put(argument, i, static_cast<int8_t>(values[i]));
        break;
      case DType::kU8:
        Put(argument, i, static_cast<uint8_t>(values[i]));
        break;
      default:
        Put(argument, i, static_cast<float>(values[i]));
        break;
    }
  }
  return argument;
}

Argument RandomArgument(DType dtype, size_t count, double deviation, Random& random) {
  std::normal_distribution<double> normal(0, deviation);
  std::vector<double> values(count);
  for (double& value : values) {
    value = normal(random);
  }
  return ValuesArgument(dtype, values);
}

Argument PoisonedArgument(DType dtype, size_t count) {
  return {dtype, std::vector<std::byte>(count * DTypeSize(dtype), std::byte{0xFF}), true, -1};
}

Argument IndexArgument(const std::vector<int32_t>& numbers, size_t capacity) {
  Argument argument = PoisonedArgument(DType::kIndex, 16 + capacity);
  Put(argument, 0, static_cast<int32_t>(numbers.size()));
  for (size_t i = 0; i < numbers.size(); ++i) {
    Put(argument, 16 + i, numbers[i]);
  }
  return argument;
}

std::string CompareFloats(const Argument& actual, const std::vector<double>& expected, double tolerance) {
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) {
      return absl::StrCat("the expected element ", i, " is NaN");
    }
  }
  return CompareKnownFloats(actual, expected, tolerance);
}

std::string CompareKnownFloats(const Argument& actual, const std::vector<double>& expected, double tolerance) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::isnan(expected[i])) {
      continue;
    }
    const double error = actual.At(i) - expected[i];
    if (!std::isfinite(error)) {
      return absl::StrCat("element ", i, " is ", actual.At(i), ", expected ", expected[i]);
    }
    difference += error * error;
    norm += expected[i] * expected[i];
  }
  const double relative = std::sqrt(difference) / std::max(std::sqrt(norm), 1e-30);
  return relative <= tolerance ? "" : absl::StrCat("relative error ", relative, " exceeds ", tolerance);
}

}  // namespace dejavu::testing
