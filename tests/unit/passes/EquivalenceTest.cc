// The equivalence check must be able to fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "ir/import/OnnxReader.h"
#include "passes/manager/Equivalence.h"
#include "passes/manager/PassManager.h"

namespace dejavu {
namespace {

using ::testing::HasSubstr;

/// A pass that breaks its promise: it raises the epsilon of each layer norm a little.
absl::Status Nudge(Module& module, PassContext& /*context*/) {
  for (const auto& function : module.functions()) {
    for (const auto& op : function->ops()) {
      if (op->Is("model.layer_norm")) {
        op->SetAttribute("epsilon", *op->GetAttribute<double>("epsilon") * (1 + 1e-6));
      }
    }
  }
  return absl::OkStatus();
}

/// A pass that leaves an op without an attribute that it needs.
absl::Status Break(Module& module, PassContext& /*context*/) {
  module.FindFunction("decode")->ops().front()->SetAttribute("nonsense", int64_t{1});
  return absl::OkStatus();
}

PassInfo TestPass(std::string_view name, Promise promise, absl::Status (*run)(Module&, PassContext&)) {
  return {.name = name, .summary = "", .example = "", .promise = promise, .options = {}, .run = run};
}

class EquivalenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<Module>> module =
        ReadOnnx(DEJAVU_SOURCE_DIR "/tests/models/onnx-random/opt-legacy14-past-eager.onnx", &store_);
    ASSERT_TRUE(module.ok()) << module.status();
    module_ = *std::move(module);
  }

  absl::Status Run(const Pipeline& pipeline, bool check) {
    PassManagerOptions options;
    options.check_equivalent = check;
    return RunPipeline(*module_, store_, pipeline, options, log_);
  }

  WeightStore store_;
  std::unique_ptr<Module> module_;
  std::ostringstream log_;
};

TEST_F(EquivalenceTest, TheWholeCompilerKeepsItsPromises) {
  EXPECT_TRUE(Run(*ParsePipeline("lift,phases,exact,schedule"), true).ok());
}

TEST_F(EquivalenceTest, APassThatChangesResultsIsCaught) {
  const PassInfo nudge = TestPass("nudge", Promise::kReal, Nudge);
  ASSERT_TRUE(Run(*ParsePipeline("lift,phases"), false).ok());
  const absl::Status status = Run({{&nudge, {}}}, true);
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("pass 'nudge' changed the logits by"));
}

TEST_F(EquivalenceTest, APassThatBreaksTheModuleIsNamedWithAWayToReplay) {
  const PassInfo broken = TestPass("broken", Promise::kReal, Break);
  ASSERT_TRUE(Run(*ParsePipeline("lift,phases"), false).ok());
  const absl::Status status = Run({{&broken, {}}}, false);
  EXPECT_TRUE(absl::IsInternal(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("pass 'broken' broke the module"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("replay with: dejavu-opt"));
}

TEST(RelativeError, IsInfiniteForWhatCannotBeCompared) {
  EXPECT_EQ(RelativeError({1, 2}, {1, 2}), 0);
  EXPECT_EQ(RelativeError({1}, {1, 2}), std::numeric_limits<double>::infinity());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(RelativeError({nan}, {1}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(RelativeError({nan, 1}, {nan, 1}), 0) << "a model of NaNs stays one";
}

}  // namespace
}  // namespace dejavu
