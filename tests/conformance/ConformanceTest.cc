// Every kernel of a target against a slow reference, on each of its devices: fresh random inputs, poisoned outputs,
// buffers with guards, and every way to run a call.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "tests/conformance/Cases.h"
#include "tests/conformance/Problem.h"
#include "tests/conformance/TestDevice.h"

namespace dejavu::testing {
namespace {

class Conformance : public ::testing::TestWithParam<std::tuple<const TestDevice*, Case>> {};

std::string TestName(const ::testing::TestParamInfo<Conformance::ParamType>& info) {
  const auto& [device, test_case] = info.param;
  return CaseName(test_case) + "_on_" + device->name();
}

TEST_P(Conformance, MatchesReference) {
  const auto& [device, test_case] = GetParam();
  if (!device->WhyNot().empty()) {
    GTEST_SKIP() << device->WhyNot();
  }
  if (!device->Has(test_case.spec)) {
    GTEST_SKIP() << "the device's launches are not joined";
  }
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  const Problem problem = MakeProblem(test_case.spec, test_case.tokens, test_case.past, random);

  const absl::StatusOr<std::unique_ptr<TestKernel>> kernel = device->Compile(test_case.spec);
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  const absl::StatusOr<std::vector<Argument>> first = (*kernel)->Call(problem, 0);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(problem.check(*first), "");
  const std::vector<Variant> variants = (*kernel)->variants();
  for (size_t variant = 1; variant < variants.size(); ++variant) {
    SCOPED_TRACE(variants[variant].name);
    const absl::StatusOr<std::vector<Argument>> again = (*kernel)->Call(problem, variant);
    ASSERT_TRUE(again.ok()) << again.status();
    if (!variants[variant].same_bits) {
      EXPECT_EQ(problem.check(*again), "");
      continue;
    }
    for (size_t i = 0; i < again->size(); ++i) {
      EXPECT_EQ((*again)[i].bytes, (*first)[i].bytes) << "argument " << i;
    }
  }
}

// Each case on each device whose target has the kernel.
std::vector<std::tuple<const TestDevice*, Case>> CasesOfDevices() {
  std::vector<std::tuple<const TestDevice*, Case>> all;
  for (const TestDevice* device : TestDevices()) {
    for (const Case& test_case : Cases()) {
      if (device->kernels().Find(test_case.spec.kernel) != nullptr) {
        all.emplace_back(device, test_case);
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Kernels, Conformance, ::testing::ValuesIn(CasesOfDevices()), TestName);

TEST(ConformanceCases, CoverTheTable) {
  for (const TestDevice* device : TestDevices()) {
    for (const KernelEntry& entry : device->kernels().entries()) {
      const auto has_case = [&](const Case& test_case) { return test_case.spec.kernel == entry.name(); };
      // What no plan launches: tests/e2e runs a synthetic model, cuda_test runs one on two devices and decodes
      // greedily.
      const bool launched = !entry.builtin() && !IsRuntimeKernel(entry.name());
      EXPECT_EQ(std::any_of(Cases().begin(), Cases().end(), has_case), launched) << entry.name();
    }
  }
}

}  // namespace
}  // namespace dejavu::testing
