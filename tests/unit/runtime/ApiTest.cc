#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/api/dejavu.hpp"

extern "C" int GenerateFromC(const char* artifact, int64_t max_new_tokens);

namespace dejavu::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StrEq;

constexpr char kArtifact[] = DEJAVU_TOY_ARTIFACT;

TEST(ApiTest, WorksFromC) {
  const int count = GenerateFromC(kArtifact, 3);
  EXPECT_GE(count, 0) << dejavu_last_error();
  EXPECT_LE(count, 3);
}

TEST(ApiTest, ErrorsGiveStatusAndMessage) {
  dejavu_model* model = nullptr;
  EXPECT_EQ(dejavu_model_open("no/such.dejavu", "cpu", &model), DEJAVU_USER_ERROR);
  EXPECT_THAT(dejavu_last_error(), HasSubstr("no/such.dejavu: no such artifact"));
  EXPECT_EQ(dejavu_model_open(kArtifact, "tpu", &model), DEJAVU_USAGE_ERROR);
  EXPECT_THAT(dejavu_last_error(), HasSubstr("unknown device 'tpu'"));
  EXPECT_EQ(dejavu_model_open(nullptr, "cpu", &model), DEJAVU_USAGE_ERROR);
  EXPECT_EQ(model, nullptr);
}

TEST(ApiTest, NullHandlesMayBeGivenBack) {
  dejavu_model_close(nullptr);
  dejavu_session_destroy(nullptr);
  dejavu_free(nullptr);
}

TEST(ApiTest, ModelTellsItsShape) {
  const Model model(kArtifact);
  EXPECT_THAT(model.info().name, StrEq("toy"));
  EXPECT_EQ(model.info().vocab, 24);
  EXPECT_EQ(model.info().positions, 32);
  EXPECT_EQ(model.info().eos, 2);
  EXPECT_THAT(dejavu_version(), StrEq(DEJAVU_VERSION));
}

TEST(ApiTest, EncodesAndDecodes) {
  const Model model(kArtifact);
  EXPECT_THAT(model.Encode("cab"), ElementsAre(2, 6, 4, 5));
  EXPECT_THAT(model.Encode("cab", /*as_prompt=*/false), ElementsAre(6, 4, 5));
  EXPECT_EQ(model.Decode({6, 4, 5}), "cab");
}

TEST(ApiTest, PrefillAndStepsAgreeAndSessionsOutliveTheModel) {
  auto model = std::make_unique<Model>(kArtifact);
  Session all(*model, 2);
  Session steps(*model, 1);
  model.reset();
  const std::vector<float> expected = all.Prefill({2, 7, 9});
  (void)steps.Prefill({2});
  (void)steps.Step(7);
  const std::vector<float> actual = steps.Step(9);
  ASSERT_EQ(actual.size(), 24);
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], expected[i], 1e-4F);
  }
  EXPECT_EQ(steps.position(), 3);
  steps.Reset();
  EXPECT_EQ(steps.position(), 0);
}

TEST(ApiTest, FailedCallsThrowAndLeaveTheSession) {
  const Model model(kArtifact);
  Session session(model, 1);
  (void)session.Step(4);
  EXPECT_THROW((void)session.Step(24), Error);
  EXPECT_THROW((void)session.Prefill({}), Error);
  try {
    (void)session.Prefill(std::vector<int32_t>(40, 1));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), DEJAVU_USER_ERROR);
    EXPECT_THAT(error.what(), HasSubstr("41 tokens long"));
  }
  EXPECT_EQ(session.position(), 1);
}

TEST(ApiTest, GenerationStopsWhenAsked) {
  const Model model(kArtifact);
  GenerateOptions options = dejavu_default_generate_options();
  options.temperature = 1.5;
  options.seed = 3;
  const std::vector<int32_t> free = Session(model, 1).Generate({2, 5}, options);
  ASSERT_GE(free.size(), 2);
  Session session(model, 1);
  size_t seen = 0;
  const std::vector<int32_t> stopped = session.Generate({2, 5}, options, [&](int32_t) { return ++seen < 2; });
  EXPECT_THAT(stopped, ElementsAre(free[0], free[1]));
}

TEST(ApiTest, GenerationEndsWithThePositions) {
  const Model model(kArtifact);
  Session session(model, 1);
  GenerateOptions options = dejavu_default_generate_options();
  options.temperature = 3;
  options.max_new_tokens = 1000;
  for (options.seed = 0; options.seed < 20; ++options.seed) {
    session.Reset();
    const std::vector<int32_t> tokens = session.Generate({5, 6}, options);
    // 30 tokens fill the positions; one more follows from the last logits.
    EXPECT_LE(tokens.size(), 31);
  }
}

TEST(ApiTest, BadSamplingOptionsAreErrors) {
  const Model model(kArtifact);
  Session session(model, 1);
  GenerateOptions options = dejavu_default_generate_options();
  options.temperature = -1;
  EXPECT_THROW((void)session.Generate({2}, options), Error);
  options = dejavu_default_generate_options();
  options.max_new_tokens = -1;
  EXPECT_THROW((void)session.Generate({2}, options), Error);
  EXPECT_EQ(session.position(), 0);  // a failed call leaves the session as it was
}

}  // namespace
}  // namespace dejavu::api
