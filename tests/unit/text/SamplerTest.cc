#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "runtime/text/Sampler.h"

namespace dejavu {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

Sampler Make(const SamplingOptions& options) { return Sampler::Create(options).value(); }

// How often each token comes in many draws.
std::map<int32_t, int> Count(Sampler& sampler, const std::vector<float>& logits, int draws) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) {
    ++counts[sampler.Sample(logits).value()];
  }
  return counts;
}

std::vector<int32_t> Support(const SamplingOptions& options, const std::vector<float>& logits) {
  Sampler sampler = Make(options);
  std::vector<int32_t> ids;
  for (const auto& [id, count] : Count(sampler, logits, 2000)) {
    ids.push_back(id);
  }
  return ids;
}

TEST(SamplerTest, GreedyTakesTheHighestAndOfEqualsTheFirst) {
  Sampler sampler = Make({});
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, 3, 2}).value(), 1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{1, 3, 3, 3}).value(), 1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-0.0F, 0.0F}).value(), 0);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-kInfinity, -1e30F}).value(), 1);
  EXPECT_EQ(sampler.Sample(std::vector<float>{-5}).value(), 0);
}

TEST(SamplerTest, FrequenciesFollowTheSoftmax) {
  const std::vector<float> logits = {0, std::log(2.0F), std::log(5.0F), -kInfinity};
  Sampler sampler = Make({.temperature = 1, .seed = 11});
  std::map<int32_t, int> counts = Count(sampler, logits, 80'000);
  EXPECT_NEAR(counts[0], 10'000, 500);
  EXPECT_NEAR(counts[1], 20'000, 600);
  EXPECT_NEAR(counts[2], 50'000, 700);
  EXPECT_EQ(counts[3], 0);
}

TEST(SamplerTest, TemperatureDividesTheLogits) {
  const std::vector<float> logits = {0, std::log(2.0F)};
  Sampler cold = Make({.temperature = 0.5, .seed = 1});
  Sampler hot = Make({.temperature = 1e6, .seed = 1});
  EXPECT_NEAR(Count(cold, logits, 50'000)[1], 40'000, 600);
  EXPECT_NEAR(Count(hot, logits, 50'000)[1], 25'000, 700);
  EXPECT_THAT(Support({.temperature = 1e-300}, logits), ElementsAre(1));
}

TEST(SamplerTest, TopKKeepsTheHighest) {
  const std::vector<float> logits = {1, 4, 2, 3, 0};
  EXPECT_THAT(Support({.temperature = 1, .top_k = 1}, logits), ElementsAre(1));
  EXPECT_THAT(Support({.temperature = 1, .top_k = 3}, logits), ElementsAre(1, 2, 3));
  EXPECT_EQ(Support({.temperature = 5, .top_k = 100}, logits).size(), 5U);
  EXPECT_EQ(Support({.temperature = 5, .top_k = 5}, logits).size(), 5U);
  EXPECT_THAT(Support({.temperature = 1, .top_k = 2}, {7, 7, 7, 7}), ElementsAre(0, 1));
}

TEST(SamplerTest, TopPKeepsTheSmallestSetThatReachesIt) {
  // Probabilities 0.1, 0.5, 0.25, 0.15.
  const std::vector<float> logits = {std::log(0.1F), std::log(0.5F), std::log(0.25F), std::log(0.15F)};
  EXPECT_THAT(Support({.temperature = 1, .top_p = 1e-9}, logits), ElementsAre(1));
  EXPECT_THAT(Support({.temperature = 1, .top_p = 0.49}, logits), ElementsAre(1));
  EXPECT_THAT(Support({.temperature = 1, .top_p = 0.51}, logits), ElementsAre(1, 2));
  EXPECT_THAT(Support({.temperature = 1, .top_p = 0.76}, logits), ElementsAre(1, 2, 3));
  EXPECT_THAT(Support({.temperature = 1, .top_p = 0.91}, logits), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Support({.temperature = 1, .top_p = 1}, logits), ElementsAre(0, 1, 2, 3));
}

TEST(SamplerTest, TopPCountsWithinWhatTemperatureAndTopKLeave) {
  const std::vector<float> logits = {std::log(0.1F), std::log(0.5F), std::log(0.25F), std::log(0.15F)};
  // Of the two highest, the first has 2/3.
  EXPECT_THAT(Support({.temperature = 1, .top_k = 2, .top_p = 0.66}, logits), ElementsAre(1));
  EXPECT_THAT(Support({.temperature = 1, .top_k = 2, .top_p = 0.67}, logits), ElementsAre(1, 2));
  // At temperature 0.5 the probabilities are squared: the first has 0.725.
  EXPECT_THAT(Support({.temperature = 0.5, .top_p = 0.7}, logits), ElementsAre(1));
}

TEST(SamplerTest, KeptTokensKeepTheirProportions) {
  const std::vector<float> logits = {std::log(0.1F), std::log(0.5F), std::log(0.25F), std::log(0.15F)};
  Sampler sampler = Make({.temperature = 1, .top_k = 2, .seed = 5});
  std::map<int32_t, int> counts = Count(sampler, logits, 60'000);
  EXPECT_NEAR(counts[1], 40'000, 600);
  EXPECT_NEAR(counts[2], 20'000, 600);
}

TEST(SamplerTest, EqualSeedsGiveEqualChoicesKnownForEveryPlatform) {
  const std::vector<float> logits(1000, 0.0F);
  Sampler first = Make({.temperature = 1, .seed = 42});
  Sampler second = Make({.temperature = 1, .seed = 42});
  Sampler other = Make({.temperature = 1, .seed = 43});
  std::vector<int32_t> ids;
  bool differs = false;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(first.Sample(logits).value());
    EXPECT_EQ(second.Sample(logits).value(), ids.back());
    differs |= other.Sample(logits).value() != ids.back();
  }
  EXPECT_TRUE(differs);
  EXPECT_THAT(ids, ElementsAre(755, 639, 752, 136, 903));
}

TEST(SamplerTest, ExtremeLogitsDoNotOverflow) {
  const float largest = std::numeric_limits<float>::max();
  EXPECT_THAT(Support({.temperature = 1}, {-largest, largest}), ElementsAre(1));
  EXPECT_THAT(Support({.temperature = 1, .top_k = 2, .top_p = 0.5}, {largest, -largest, largest}), ElementsAre(0));
}

TEST(SamplerTest, RefusesLogitsOfABrokenModel) {
  for (const double temperature : {0.0, 1.0}) {
    Sampler sampler = Make({.temperature = temperature});
    const auto error = [&](const std::vector<float>& logits) {
      return std::string(sampler.Sample(logits).status().message());
    };
    EXPECT_THAT(error({1, kNan, 2}), AllOf(HasSubstr("token 1"), HasSubstr("not a number")));
    EXPECT_THAT(error({1, kInfinity}), HasSubstr("infinite"));
    EXPECT_THAT(error({-kInfinity, -kInfinity}), HasSubstr("no finite logit among 2"));
    EXPECT_THAT(error({}), HasSubstr("no finite logit"));
  }
}

TEST(SamplerTest, RefusesOptionsOutOfRangeByTheirFlag) {
  const auto error = [](const SamplingOptions& options) {
    return std::string(Sampler::Create(options).status().message());
  };
  EXPECT_THAT(error({.temperature = -1}), HasSubstr("--temperature must be"));
  EXPECT_THAT(error({.temperature = std::nan("")}), HasSubstr("--temperature"));
  EXPECT_THAT(error({.temperature = HUGE_VAL}), HasSubstr("--temperature"));
  EXPECT_THAT(error({.top_k = -1}), HasSubstr("--top-k must be"));
  EXPECT_THAT(error({.top_p = 0}), HasSubstr("--top-p must be"));
  EXPECT_THAT(error({.top_p = 1.01}), HasSubstr("--top-p"));
  EXPECT_THAT(error({.top_p = std::nan("")}), HasSubstr("--top-p"));
  EXPECT_TRUE(ValidateSamplingOptions({.temperature = 0.8, .top_k = 50, .top_p = 0.95}).ok());
}

}  // namespace
}  // namespace dejavu
