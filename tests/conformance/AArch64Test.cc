// Every kernel of the CPU target as AArch64 code, under emulation, against the references of the conformance suite.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "codegen/cpu/CpuBackend.h"
#include "tests/conformance/Cases.h"
#include "tests/conformance/Emulate.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {
namespace {

class AArch64Conformance : public ::testing::TestWithParam<Case> {};

TEST_P(AArch64Conformance, MatchesReference) {
  if (!WhyNoEmulation().empty()) {
    GTEST_SKIP() << WhyNoEmulation();
  }
  const Case& test_case = GetParam();
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  const Problem problem = MakeProblem(test_case.spec, test_case.tokens, test_case.past, random);
  const absl::StatusOr<const CpuTarget*> isa = FindCpuTarget("aarch64");
  ASSERT_TRUE(isa.ok()) << isa.status();
  const absl::StatusOr<std::vector<std::byte>> object = CompileCpu({test_case.spec}, **isa);
  ASSERT_TRUE(object.ok()) << object.status();
  const EmulatedKernels kernels(*object);
  const std::string symbol = CpuKernels().Symbol(test_case.spec).value();

  const absl::StatusOr<std::vector<Argument>> first = kernels.Call(symbol, problem, 1, Placement::kEnd);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(problem.check(*first), "");
  const absl::StatusOr<std::vector<Argument>> again = kernels.Call(symbol, problem, 3, Placement::kStart);
  ASSERT_TRUE(again.ok()) << again.status();
  for (size_t i = 0; i < first->size(); ++i) {
    EXPECT_EQ((*again)[i].bytes, (*first)[i].bytes) << "argument " << i << " with 3 threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, AArch64Conformance, ::testing::ValuesIn(Cases()),
                         [](const ::testing::TestParamInfo<Case>& test) { return CaseName(test.param); });

}  // namespace
}  // namespace dejavu::testing
