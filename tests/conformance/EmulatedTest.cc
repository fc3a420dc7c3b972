// Every kernel of the CPU target under emulation, as AArch64 code and as code for the oldest x86-64 that DejaVu knows,
// against the references of the conformance suite.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <tuple>

#include "codegen/cpu/CpuBackend.h"
#include "tests/conformance/Cases.h"
#include "tests/conformance/Emulate.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {
namespace {

class EmulatedConformance : public ::testing::TestWithParam<std::tuple<Emulator, Case>> {};

TEST_P(EmulatedConformance, MatchesReference) {
  const auto& [emulator, test_case] = GetParam();
  if (!emulator.missing.empty()) {
    GTEST_SKIP() << emulator.missing;
  }
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  const Problem problem = MakeProblem(test_case.spec, test_case.tokens, test_case.past, random);
  const absl::StatusOr<const CpuTarget*> isa = FindCpuTarget(emulator.isa);
  ASSERT_TRUE(isa.ok()) << isa.status();
  const absl::StatusOr<std::vector<std::byte>> object = CompileCpu({test_case.spec}, **isa);
  ASSERT_TRUE(object.ok()) << object.status();
  const EmulatedKernels kernels(emulator, *object);
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

INSTANTIATE_TEST_SUITE_P(Kernels, EmulatedConformance,
                         ::testing::Combine(::testing::ValuesIn(Emulators()), ::testing::ValuesIn(Cases())),
                         [](const ::testing::TestParamInfo<std::tuple<Emulator, Case>>& test) {
                           std::string name = std::get<0>(test.param).isa + "_" + CaseName(std::get<1>(test.param));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace dejavu::testing
