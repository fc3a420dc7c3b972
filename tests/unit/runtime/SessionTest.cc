#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <thread>

#include "runtime/engine/Session.h"
#include "tests/unit/runtime/TempFolder.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string path = folder_.path() + "/toy.dejavu";
    const absl::Status written = toy::WriteArtifact(path);
    ASSERT_TRUE(written.ok()) << written;
    auto model = Model::Load(path, {});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  std::unique_ptr<Session> MakeSession(int threads, bool statistics = false) const {
    auto session = Session::Create(model_, {threads, statistics});
    EXPECT_TRUE(session.ok()) << session.status();
    return *std::move(session);
  }

  static std::vector<float> Copy(const absl::StatusOr<std::span<const float>>& logits) {
    EXPECT_TRUE(logits.ok()) << logits.status();
    return {logits->begin(), logits->end()};
  }

  TempFolder folder_;
  std::shared_ptr<const Model> model_;
  const toy::ToyWeights weights_ = toy::MakeWeights(1);
  const std::vector<int32_t> tokens_ = {2, 7, 1, 8, 23, 0, 8, 4, 5, 9, 0, 4, 5};
};

TEST_F(SessionTest, DecodeAgreesWithTheReference) {
  const auto session = MakeSession(2);
  std::vector<float> logits;
  for (const int32_t token : tokens_) {
    logits = Copy(session->Decode(token));
  }
  EXPECT_THAT(logits, Pointwise(FloatNear(1e-4F), toy::Reference(weights_, tokens_)));
  EXPECT_EQ(session->position(), 13);
}

TEST_F(SessionTest, PrefillInSeveralChunksAgreesWithTheReference) {
  const auto session = MakeSession(2);
  ASSERT_GT(static_cast<int64_t>(tokens_.size()), 2 * toy::kMaxTokens);
  EXPECT_THAT(Copy(session->Prefill(tokens_)), Pointwise(FloatNear(1e-4F), toy::Reference(weights_, tokens_)));
}

TEST_F(SessionTest, DecodeContinuesWherePrefillEnded) {
  const auto session = MakeSession(1);
  const std::span<const int32_t> all(tokens_);
  ASSERT_TRUE(session->Prefill(all.first(7)).ok());
  std::vector<float> logits;
  for (const int32_t token : all.subspan(7)) {
    logits = Copy(session->Decode(token));
  }
  EXPECT_THAT(logits, Pointwise(FloatNear(1e-4F), toy::Reference(weights_, tokens_)));
}

TEST_F(SessionTest, ThreadsDoNotChangeABit) {
  const std::vector<float> one = Copy(MakeSession(1)->Prefill(tokens_));
  for (const int threads : {2, 3, 5}) {
    EXPECT_EQ(Copy(MakeSession(threads)->Prefill(tokens_)), one) << threads;
  }
}

TEST_F(SessionTest, ResetForgetsTheTokens) {
  const auto session = MakeSession(1);
  ASSERT_TRUE(session->Prefill(tokens_).ok());
  session->Reset();
  EXPECT_EQ(session->position(), 0);
  EXPECT_THAT(Copy(session->Decode(3)), Pointwise(FloatNear(1e-4F), toy::Reference(weights_, std::vector<int32_t>{3})));
}

TEST_F(SessionTest, SessionsShareAModelAcrossThreads) {
  std::vector<std::vector<float>> results(3);
  std::vector<std::thread> threads;
  for (std::vector<float>& result : results) {
    threads.emplace_back([&] { result = Copy(MakeSession(2)->Prefill(tokens_)); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(results[0], Pointwise(FloatNear(1e-4F), toy::Reference(weights_, tokens_)));
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
}

TEST_F(SessionTest, StatisticsCountActiveNeuronsAndBytes) {
  std::vector<int64_t> active;
  (void)toy::Reference(weights_, tokens_, &active);
  const auto session = MakeSession(2, /*statistics=*/true);
  int64_t sum = 0;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    ASSERT_TRUE(session->Decode(tokens_[i]).ok());
    sum += active[i];
  }
  const Statistics& statistics = session->statistics();
  const auto count = static_cast<double>(tokens_.size());
  ASSERT_EQ(statistics.tokens(), 13);
  EXPECT_DOUBLE_EQ(statistics.MeanMlpDensity(), static_cast<double>(sum) / (toy::kNeurons * count));
  EXPECT_DOUBLE_EQ(statistics.MeanHeadDensity(), 1.0);
  EXPECT_DOUBLE_EQ(statistics.PredictorBytesPerToken(), 516 + 4 * static_cast<double>(sum) / count);
  // Everything but fc2's rows, of which only those of positive neurons are read.
  const double other = 64 + 64 + 32 * 7.0 + 516 + 32 + 96 + 800 + 100 + 40 * static_cast<double>(sum) / count;
  EXPECT_GT(statistics.BytesPerToken(), other);
  EXPECT_LE(statistics.BytesPerToken(), other + 32 * static_cast<double>(sum) / count);
}

TEST_F(SessionTest, WatchKeepsOperandsOfLaunches) {
  std::vector<int64_t> active;
  (void)toy::Reference(weights_, tokens_, &active);
  const auto session = MakeSession(2, /*statistics=*/true);
  const std::vector<Launch>& launches = model_->plan().FindFunction("decode")->launches;
  WatchedOperand list;
  while (!launches[list.launch].per_positive.has_value()) {
    ++list.launch;
  }
  list.arg = static_cast<size_t>(launches[list.launch].per_positive->active);
  list.bytes = sizeof(int32_t);
  ASSERT_TRUE(session->Watch({list}).ok());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    ASSERT_TRUE(session->Decode(tokens_[i]).ok());
    int32_t count = 0;
    std::memcpy(&count, session->Watched(0).data(), sizeof(count));
    EXPECT_EQ(count, active[i]);
  }
  EXPECT_TRUE(absl::IsInternal(session->Watch({{.launch = launches.size(), .arg = 0, .bytes = 4}})));
  EXPECT_TRUE(absl::IsInternal(session->Watch({{.launch = list.launch, .arg = list.arg, .bytes = 1U << 30U}})));
}

/// What the host chooses after `token` and each choice, from the logits.
std::vector<int32_t> ChooseByHost(Session& session, int32_t token, int64_t count) {
  std::vector<int32_t> choices;
  for (int64_t i = 0; i < count; ++i) {
    const auto logits = session.Decode(token);
    EXPECT_TRUE(logits.ok()) << logits.status();
    token = LikeliestToken(*logits);
    choices.push_back(token);
  }
  return choices;
}

TEST_F(SessionTest, GreedyDecodingTakesTheTokensThatTheHostWouldTake) {
  const std::vector<int32_t> expected = ChooseByHost(*MakeSession(1), 7, 20);
  for (const bool statistics : {false, true}) {
    const auto session = MakeSession(2, statistics);
    std::vector<int32_t> choices;
    const absl::Status status = session->DecodeGreedily(7, 20, [&](int32_t choice) {
      choices.push_back(choice);
      return true;
    });
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(choices, expected);
    EXPECT_EQ(session->position(), 20);
    EXPECT_EQ(session->statistics().tokens(), statistics ? 20 : 0);
  }
}

TEST_F(SessionTest, GreedyDecodingStopsWhenToldAndGoesOnLater) {
  const std::vector<int32_t> expected = ChooseByHost(*MakeSession(1), 7, 9);
  const auto session = MakeSession(1);
  std::vector<int32_t> choices;
  const auto take = [&](int32_t choice) {
    choices.push_back(choice);
    return choices.size() % 3 != 0;
  };
  for (const int32_t token : {7, expected[2], expected[5]}) {
    ASSERT_TRUE(session->DecodeGreedily(token, 10, take).ok());
  }
  EXPECT_EQ(choices, expected);
  EXPECT_EQ(session->position(), 9);
}

TEST_F(SessionTest, GreedyDecodingChecksItsArguments) {
  const auto session = MakeSession(1);
  const auto go_on = [](int32_t) { return true; };
  EXPECT_THAT(session->DecodeGreedily(24, 1, go_on).message(), HasSubstr("token id 24"));
  EXPECT_THAT(session->DecodeGreedily(1, 33, go_on).message(), HasSubstr("33 tokens long"));
  EXPECT_EQ(session->position(), 0);
  EXPECT_TRUE(session->DecodeGreedily(1, 32, go_on).ok());
}

TEST_F(SessionTest, ATraceHasASpanForEachLaunch) {
  const auto session = MakeSession(2);
  ASSERT_TRUE(session->Decode(tokens_[0]).ok());
  const auto spans = session->Trace(tokens_[1]);
  ASSERT_TRUE(spans.ok()) << spans.status();
  ASSERT_EQ(spans->size(), model_->plan().FindFunction("decode")->launches.size());
  for (size_t i = 1; i < spans->size(); ++i) {
    EXPECT_EQ((*spans)[i].begin, (*spans)[i - 1].end);
    EXPECT_LE((*spans)[i].begin, (*spans)[i].end);
  }
  EXPECT_THAT(Copy(session->Decode(tokens_[2])),
              Pointwise(FloatNear(1e-4F), toy::Reference(weights_, std::span(tokens_).first(3))));
  EXPECT_FALSE(session->Trace(24).ok());
}

TEST(LikeliestTokenTest, IsTheFirstOfTheLargestFiniteLogits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(LikeliestToken(std::vector<float>{1, 3, 2, 3}), 1);
  EXPECT_EQ(LikeliestToken(std::vector<float>{-kInfinity, -3, -kInfinity}), 1);
  EXPECT_EQ(LikeliestToken(std::vector<float>{-kInfinity, -kInfinity}), -1);
  EXPECT_EQ(LikeliestToken(std::vector<float>{1, kInfinity}), -1);
  EXPECT_EQ(LikeliestToken(std::vector<float>{1, std::nanf("")}), -1);
}

TEST_F(SessionTest, EmptyPromptIsAnError) {
  EXPECT_THAT(MakeSession(1)->Prefill({}).status().message(), HasSubstr("prompt is empty"));
}

TEST_F(SessionTest, TokenOutsideTheVocabularyIsAnErrorThatNamesBoth) {
  const auto session = MakeSession(1);
  EXPECT_EQ(session->Decode(24).status().message(),
            "token id 24 (number 1 of 1) is outside the vocabulary, whose ids are 0 to 23");
  EXPECT_THAT(session->Prefill(std::vector<int32_t>{1, -5}).status().message(),
              HasSubstr("token id -5 (number 2 of 2)"));
  EXPECT_EQ(session->position(), 0);
}

TEST_F(SessionTest, PromptLongerThanThePositionsIsAnError) {
  const auto session = MakeSession(1);
  EXPECT_EQ(session->Prefill(std::vector<int32_t>(33, 1)).status().message(),
            "the sequence would be 33 tokens long, but the model has 32 positions; shorten the prompt");
  ASSERT_TRUE(session->Prefill(std::vector<int32_t>(32, 1)).ok());
  EXPECT_THAT(session->Decode(1).status().message(), HasSubstr("33 tokens long"));
}

TEST_F(SessionTest, ImpossibleThreadCountsAreUsageErrors) {
  EXPECT_THAT(Session::Create(model_, {-1, false}).status().message(), HasSubstr("from 1 to 1024"));
  EXPECT_FALSE(Session::Create(model_, {5000, false}).ok());
}

TEST_F(SessionTest, UnknownDevicesAndMissingTargetsAreErrors) {
  const std::string path = model_->artifact().path();
  EXPECT_THAT(Model::Load(path, {.device = "tpu"}).status().message(), HasSubstr("unknown device 'tpu'"));
  EXPECT_THAT(Model::Load(path, {.device = "cuda:1"}).status().message(),
              HasSubstr("has no code for the device 'cuda', only for: cpu"));
  EXPECT_THAT(Model::Load(path, {.device = "cuda:x"}).status().message(), HasSubstr("unknown device"));
}

}  // namespace
}  // namespace dejavu
