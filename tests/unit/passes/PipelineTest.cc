// Pipeline text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "passes/Pipelines.h"
#include "passes/manager/PassRegistry.h"
#include "passes/manager/PipelineParser.h"

namespace dejavu {
namespace {

using ::testing::HasSubstr;

TEST(Pipeline, PrintsWhatItParses) {
  const absl::StatusOr<Pipeline> pipeline =
      ParsePipeline("fold-views,insert-predictors{kind=none},plan-buffers{max-tokens=7}");
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  EXPECT_EQ(PrintPipeline(*pipeline), "fold-views,insert-predictors{kind=none},plan-buffers{max-tokens=7}");
}

TEST(Pipeline, LeavesOutDefaults) {
  EXPECT_EQ(PrintPipeline(*ParsePipeline("insert-predictors{kind=certified}")), "insert-predictors");
}

TEST(Pipeline, NamedPipelinesExpand) {
  for (const NamedPipeline& named : AllPipelines()) {
    const absl::StatusOr<Pipeline> pipeline = ParsePipeline(named.name);
    ASSERT_TRUE(pipeline.ok()) << pipeline.status();
    EXPECT_EQ(pipeline->size(), named.steps.size()) << named.name;
  }
}

TEST(Pipeline, EveryPassHasAnUniqueNameAndASentence) {
  for (const PassInfo* pass : AllPasses()) {
    EXPECT_EQ(FindPass(pass->name), pass) << pass->name;
    EXPECT_EQ(FindPipeline(pass->name), nullptr) << pass->name << " is also a pipeline";
    EXPECT_TRUE(pass->summary.ends_with(".")) << pass->name;
    EXPECT_FALSE(pass->example.empty()) << pass->name;
  }
}

TEST(Pipeline, ErrorsNameThePlace) {
  const auto message = [](std::string_view text) { return std::string(ParsePipeline(text).status().message()); };
  EXPECT_THAT(message("nothing"), HasSubstr("there is no pass 'nothing'"));
  EXPECT_THAT(message("fold-views,"), HasSubstr("expected a pass or pipeline"));
  EXPECT_THAT(message("plan-buffers{tokens=1}"), HasSubstr("has no option 'tokens'; it has max-tokens"));
  EXPECT_THAT(message("fold-views{a=1}"), HasSubstr("it has none"));
  EXPECT_THAT(message("plan-buffers{max-tokens=1"), HasSubstr("expected '}'"));
  EXPECT_THAT(message("plan-buffers{max-tokens}"), HasSubstr("expected '='"));
}

}  // namespace
}  // namespace dejavu
