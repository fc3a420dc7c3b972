// The arithmetic inside the kernels: conversion of every half and bfloat16, and the exponential of attention.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "codegen/cpu/CpuBackend.h"
#include "tests/conformance/Cases.h"
#include "tests/conformance/Emulate.h"
#include "tests/conformance/Execute.h"

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

class Numerics : public ::testing::TestWithParam<const CpuTarget*> {
 protected:
  // The arguments after a call of the problem's kernel, natively or emulated.
  std::vector<Argument> Run(const Problem& problem) {
    const std::string symbol = CpuKernels().Symbol(problem.spec).value();
    const std::vector<std::byte> object = CompileCpu({problem.spec}, *GetParam()).value();
    if (HostRuns(*GetParam())) {
      return Call(LoadedKernels(object).Find(symbol), problem, 1, Placement::kEnd);
    }
    return EmulatedKernels(*FindEmulator(GetParam()->name), object).Call(symbol, problem, 1, Placement::kEnd).value();
  }

  void SetUp() override {
    const Emulator* emulator = FindEmulator(GetParam()->name);
    if (!HostRuns(*GetParam()) && (emulator == nullptr || !emulator->missing.empty())) {
      GTEST_SKIP() << "this CPU does not run " << GetParam()->name << "; "
                   << (emulator == nullptr ? "nothing emulates it" : emulator->missing);
    }
  }

  // A table of all 16-bit patterns, looked up by embed_tokens.
  void ConvertAll(DType dtype, int exponent_bits, int mantissa_bits) {
    Problem problem;
    problem.spec = EmbedTokensSpec(1, 1, 65536, dtype);
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
  constexpr int64_t kHeads = 4096;
  constexpr int64_t kWidth = 8;
  Problem problem;
  problem.spec = AttentionSpec(1, kHeads, kWidth, 2);
  problem.spec.attributes["scale"] = 1.0;
  problem.past = 1;
  std::vector<double> qkv(3 * kHeads * kWidth, 0.0);
  std::vector<double> cache(2 * kHeads * 2 * kWidth, 0.0);
  std::vector<double> expected;
  for (int64_t head = 0; head < kHeads; ++head) {
    const auto s = static_cast<double>(static_cast<float>(86.9 * static_cast<double>(head) / kHeads));
    qkv[static_cast<size_t>(head * kWidth)] = 1;
    cache[static_cast<size_t>(head * 2 * kWidth)] = -s;
    cache[static_cast<size_t>((kHeads + head) * 2 * kWidth)] = 1;
    expected.push_back(std::exp(-s) / (1 + std::exp(-s)));
  }
  problem.args = {ValuesArgument(DType::kF32, qkv), ValuesArgument(DType::kF32, cache),
                  PoisonedArgument(DType::kF32, kHeads * kWidth), Argument{}};
  problem.args[3].same_as = 1;
  const std::vector<Argument> after = Run(problem);
  double worst = 0;
  for (size_t head = 0; head < kHeads; ++head) {
    worst = std::max(worst, std::abs(after[2].At(head * kWidth) / expected[head] - 1));
  }
  // 2e-7 of the exponential, and three roundings: of the sum, of its inverse and of the product.
  EXPECT_LE(worst, 2e-7 + 3 * 0x1p-24);
  RecordProperty("worst", std::to_string(worst));
}

std::vector<const CpuTarget*> AllTargets() {
  std::vector<const CpuTarget*> targets;
  for (const CpuTarget& target : CpuTargets()) {
    targets.push_back(&target);
  }
  return targets;
}

INSTANTIATE_TEST_SUITE_P(Targets, Numerics, ::testing::ValuesIn(AllTargets()),
                         [](const ::testing::TestParamInfo<const CpuTarget*>& test) {
                           return absl::StrReplaceAll(std::string(test.param->name), {{"-", "_"}});
                         });

}  // namespace
}  // namespace dejavu::testing
