// Every kernel of the CPU target against a slow reference: each instruction set that this CPU runs, several numbers of
// threads with equal bits, outputs poisoned and buffers against guard pages.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <tuple>

#include "absl/strings/str_replace.h"
#include "codegen/cpu/CpuBackend.h"
#include "tests/conformance/Cases.h"
#include "tests/conformance/Execute.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {
namespace {

std::vector<const CpuTarget*> NativeTargets() {
  std::vector<const CpuTarget*> targets;
  for (const CpuTarget& target : CpuTargets()) {
    if (HostRuns(target)) {
      targets.push_back(&target);
    }
  }
  return targets;
}

class Conformance : public ::testing::TestWithParam<std::tuple<const CpuTarget*, Case>> {};

std::string TestName(const ::testing::TestParamInfo<Conformance::ParamType>& info) {
  const auto& [isa, test_case] = info.param;
  return absl::StrReplaceAll(CaseName(test_case) + "_on_" + std::string(isa->name), {{"-", "_"}});
}

TEST_P(Conformance, MatchesReference) {
  const auto& [isa, test_case] = GetParam();
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  const Problem problem = MakeProblem(test_case.spec, test_case.tokens, test_case.past, random);

  const absl::StatusOr<std::vector<std::byte>> object = CompileCpu({test_case.spec}, *isa);
  ASSERT_TRUE(object.ok()) << object.status();
  const LoadedKernels kernels(*object);
  const LoadedKernels::Function kernel = kernels.Find(CpuKernels().Symbol(test_case.spec).value());
  ASSERT_NE(kernel, nullptr);

  const std::vector<Argument> first = Call(kernel, problem, 1, Placement::kEnd);
  EXPECT_EQ(problem.check(first), "");
  for (const int threads : {1, 2, 3, 7}) {
    for (const Placement placement : {Placement::kStart, Placement::kEnd}) {
      const std::vector<Argument> again = Call(kernel, problem, threads, placement);
      for (size_t i = 0; i < again.size(); ++i) {
        EXPECT_EQ(again[i].bytes, first[i].bytes) << "argument " << i << " with " << threads << " threads";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, Conformance,
                         ::testing::Combine(::testing::ValuesIn(NativeTargets()), ::testing::ValuesIn(Cases())),
                         TestName);

TEST(ConformanceCases, CoverTheTable) {
  for (const KernelEntry& entry : CpuKernels().entries()) {
    const auto has_case = [&](const Case& test_case) { return test_case.spec.kernel == entry.name(); };
    EXPECT_EQ(std::any_of(Cases().begin(), Cases().end(), has_case), !entry.builtin()) << entry.name();
  }
}

}  // namespace
}  // namespace dejavu::testing
