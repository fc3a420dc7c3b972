// The arithmetic inside the kernels: conversion of every half and bfloat16, and the exponential of attention.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "tests/conformance/Cases.h"
#include "tests/conformance/Problem.h"
#include "tests/conformance/TestDevice.h"

namespace dejavu::testing {
namespace {

// The value of `bits` with the given numbers of exponent and mantissa bits, from the definition of the format.
double Decode(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const double sign = (bits >> (exponent_bits + mantissa_bits)) != 0 ? -1 : 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = static_cast<int>(bits) & ((1 << mantissa_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * INFINITY : NAN;
  }
  const int significand = exponent == 0 ? mantissa : mantissa + (1 << mantissa_bits);
  return sign * std::ldexp(significand, std::max(exponent, 1) - bias - mantissa_bits);
}

class Numerics : public ::testing::TestWithParam<const TestDevice*> {
 protected:
  // The arguments after a call of the problem's kernel.
  static std::vector<Argument> Run(const Problem& problem) {
    const absl::StatusOr<std::unique_ptr<TestKernel>> kernel = GetParam()->Compile(problem.spec);
    EXPECT_TRUE(kernel.ok()) << kernel.status();
    absl::StatusOr<std::vector<Argument>> after = (*kernel)->Call(problem, 0);
    EXPECT_TRUE(after.ok()) << after.status();
    return *std::move(after);
  }

  void SetUp() override {
    if (!GetParam()->WhyNot().empty()) {
      GTEST_SKIP() << GetParam()->WhyNot();
    }
  }

  // A table of all 16-bit patterns, looked up by embed_tokens.
  void ConvertAll(DType dtype, int exponent_bits, int mantissa_bits) {
    Problem problem;
    problem.spec = AllHalvesSpec(dtype);
    Argument table = PoisonedArgument(dtype, 65536);
    for (size_t i = 0; i < 65536; ++i) {
      table.bytes[2 * i] = static_cast<std::byte>(i & 0xFFU);
      table.bytes[2 * i + 1] = static_cast<std::byte>(i >> 8U);
    }
    problem.args = {ValuesArgument(DType::kI32, {0}), table, PoisonedArgument(DType::kF32, 65536)};
    const std::vector<Argument> after = Run(problem);
    for (uint32_t i = 0; i < 65536; ++i) {
      const double expected = Decode(i, exponent_bits, mantissa_bits);
      const double actual = after[2].At(i);
      ASSERT_TRUE(std::isnan(expected) ? std::isnan(actual)
                                       : actual == expected && std::signbit(actual) == std::signbit(expected))
          << "bits " << i << " became " << actual << ", not " << expected;
    }
  }
};

TEST_P(Numerics, ConvertsEveryHalf) { ConvertAll(DType::kF16, 5, 10); }

TEST_P(Numerics, ConvertsEveryBFloat16) { ConvertAll(DType::kBF16, 8, 7); }

// Two positions with scores -s and 0 and values 1 and 0 give e^-s / (1 + e^-s); each head has its own s.
TEST_P(Numerics, ExponentialIsAccurate) {
  constexpr int64_t kHeads = kExponentials;
  constexpr int64_t kWidth = 8;
  Problem problem;
  problem.spec = ExponentialSpec();
  problem.past = 1;
  std::vector<double> qkv(3 * kHeads * kWidth, 0.0);
  std::vector<double> cache(2 * kHeads * 2 * kWidth, 0.0);
  std::vector<double> exponents;
  for (int64_t head = 0; head < kHeads; ++head) {
    const auto s = static_cast<double>(static_cast<float>(86.9 * static_cast<double>(head) / kHeads));
    qkv[static_cast<size_t>(head * kWidth)] = 1;
    cache[static_cast<size_t>(head * 2 * kWidth)] = -s;
    cache[static_cast<size_t>((kHeads + head) * 2 * kWidth)] = 1;
    exponents.push_back(s);
  }
  problem.args = {ValuesArgument(DType::kF32, qkv), ValuesArgument(DType::kF32, cache),
                  Argument{DType::kIndex, {}, false, -1}, PoisonedArgument(DType::kF32, kHeads * kWidth), Argument{}};
  problem.args[4].same_as = 1;
  const std::vector<Argument> after = Run(problem);
  double worst = 0;
  for (size_t head = 0; head < kHeads; ++head) {
    const double s = exponents[head];
    const double error = std::abs(after[3].At(head * kWidth) / (std::exp(-s) / (1 + std::exp(-s))) - 1);
    // The exponential, and three roundings: of the sum, of its inverse and of the product.
    EXPECT_LE(error, GetParam()->ExpError(s) + 3 * 0x1p-24) << s;
    worst = std::max(worst, error);
  }
  RecordProperty("worst", std::to_string(worst));
}

INSTANTIATE_TEST_SUITE_P(Targets, Numerics, ::testing::ValuesIn(TestDevices()),
                         [](const ::testing::TestParamInfo<const TestDevice*>& test) { return test.param->name(); });

}  // namespace
}  // namespace dejavu::testing
