#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "ir/base/DType.h"
#include "passes/sparsity/training/HeadTrainer.h"

namespace dejavu {
namespace {

constexpr int64_t kWidth = 24;
constexpr int64_t kHeads = 4;
constexpr int64_t kHeldOut = 512;

absl::Status NoTick() { return absl::OkStatus(); }

/// Heads whose outputs have fixed directions and lengths that follow from the predictor's input: exp(w.x + b).
struct PlantedHeads {
  HeadRows rows;
  std::vector<float> out;
  std::vector<double> sensitivity = std::vector<double>(kHeads, 1.0);

  explicit PlantedHeads(int64_t count) {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal;
    constexpr int64_t kDim = kWidth / kHeads;
    std::vector<double> rule(kHeads * kWidth);
    for (double& value : rule) {
      value = normal(random) / std::sqrt(kWidth);
    }
    rows.width = kWidth;
    for (int64_t i = 0; i < count; ++i) {
      std::vector<double> x(kWidth);
      for (double& value : x) {
        value = normal(random) + 0.3;
        rows.inputs.push_back(FloatToHalf(static_cast<float>(value)));
      }
      for (int64_t head = 0; head < kHeads; ++head) {
        double log = -static_cast<double>(head);  // the first matters most
        for (int64_t j = 0; j < kWidth; ++j) {
          log += rule[static_cast<size_t>(head * kWidth + j)] * x[static_cast<size_t>(j)];
        }
        for (int64_t j = 0; j < kDim; ++j) {
          rows.outputs.push_back(FloatToHalf(static_cast<float>(std::exp(log) * (j % 2 == 0 ? 1 : -0.5))));
        }
      }
    }
    for (int64_t i = 0; i < kWidth * kWidth; ++i) {
      out.push_back(static_cast<float>(normal(random) / std::sqrt(kWidth)));
    }
  }
  [[nodiscard]] HeadWeights weights() const { return {kHeads, out, sensitivity}; }
};

TEST(HeadTrainer, GuessesHowMuchHeadsMatter) {
  const PlantedHeads planted(4096);
  const auto predictor = TrainHeads(planted.rows, kHeldOut, planted.weights(), 2, NoTick);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  const auto deployed = AsDeployed(*predictor, 8);
  ASSERT_TRUE(deployed.ok()) << deployed.status();
  const std::vector<ScoredHead> heads = ScoreHeads(*deployed, planted.rows, kHeldOut, planted.weights(), 1);
  ASSERT_EQ(heads.size(), static_cast<size_t>(kHeldOut * kHeads));
  double squares = 0;
  for (const ScoredHead& head : heads) {
    const double rest = head.score - 0.5 * std::log(head.mass);
    squares += rest * rest / static_cast<double>(heads.size());
  }
  EXPECT_LT(std::sqrt(squares), 0.05);
}

TEST(HeadTrainer, ExpectsTheMeanOfWhatVaries) {
  // Beside what the input tells, the first head's m varies with a deviation of its logarithm of 1, the second
  // one's not at all: the mean of its logarithm is lower than the logarithm of its mean.
  PlantedHeads planted(16384);
  std::mt19937_64 random(17);
  std::normal_distribution<double> normal;
  constexpr int64_t kDim = kWidth / kHeads;
  for (int64_t row = 0; row < planted.rows.rows(); ++row) {
    const auto factor = static_cast<float>(std::exp(normal(random) / 2 - 0.25));  // the mean of its square is 1
    for (int64_t j = 0; j < kDim; ++j) {
      uint16_t& value = planted.rows.outputs[row * kWidth + j];
      value = FloatToHalf(HalfToFloat(value) * factor);
    }
  }
  const auto predictor = TrainHeads(planted.rows, kHeldOut, planted.weights(), 2, NoTick);
  ASSERT_TRUE(predictor.ok()) << predictor.status();
  const std::vector<ScoredHead> heads = ScoreHeads(*predictor, planted.rows, 8192, planted.weights(), 2);
  std::vector<double> ratios(kHeads);
  std::vector<double> logs(kHeads);
  for (size_t i = 0; i < heads.size(); ++i) {
    ratios[i % kHeads] += heads[i].mass * std::exp(-2.0 * heads[i].score) / 8192;
    logs[i % kHeads] += (0.5 * std::log(heads[i].mass) - heads[i].score) / 8192;
  }
  EXPECT_NEAR(ratios[0], 1, 0.1);
  EXPECT_NEAR(logs[0], -0.25, 0.05);
  EXPECT_NEAR(ratios[1], 1, 0.02);
  EXPECT_NEAR(logs[1], 0, 0.02);
}

TEST(HeadTrainer, SensitivityIsAPartOfTheScore) {
  PlantedHeads planted(2048);
  const auto before = TrainHeads(planted.rows, kHeldOut, planted.weights(), 1, NoTick);
  planted.sensitivity[1] = std::exp(2.0);
  const auto after = TrainHeads(planted.rows, kHeldOut, planted.weights(), 1, NoTick);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_NEAR(after->bias[0], before->bias[0], 1e-4);
  EXPECT_NEAR(after->bias[1], before->bias[1] + 1, 1e-3);
}

TEST(HeadTrainer, DoesNotDependOnThreads) {
  const PlantedHeads planted(1024);
  const auto one = TrainHeads(planted.rows, kHeldOut, planted.weights(), 1, NoTick);
  const auto three = TrainHeads(planted.rows, kHeldOut, planted.weights(), 3, NoTick);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->weight, three->weight);
  EXPECT_EQ(one->bias, three->bias);
}

TEST(HeadTrainer, RefusesTooFewRowsAndDamagedOnesAndStopsWhenAsked) {
  const PlantedHeads small(kHeldOut);
  EXPECT_THAT(TrainHeads(small.rows, kHeldOut, small.weights(), 1, NoTick).status().message(),
              testing::HasSubstr("too few to train on"));
  PlantedHeads damaged(1024);
  damaged.rows.inputs[5] = 0x7C00;  // infinite
  EXPECT_FALSE(TrainHeads(damaged.rows, kHeldOut, damaged.weights(), 1, NoTick).ok());
  const PlantedHeads planted(1024);
  EXPECT_TRUE(absl::IsCancelled(
      TrainHeads(planted.rows, kHeldOut, planted.weights(), 1, [] { return absl::CancelledError("stop"); }).status()));
}

TEST(HeadThresholds, CountTheHeadsOfAllLayers) {
  std::vector<std::vector<ScoredHead>> layers(3);  // the first is dense
  for (int i = 0; i < 10; ++i) {
    layers[1].push_back({static_cast<float>(i), 1});
    layers[2].push_back({static_cast<float>(i) + 4.5F, 2});
  }
  const std::vector<double> shares = {0.2, 2.0 / 3, 1};
  const auto points = FindHeadThresholds(layers, shares);
  ASSERT_TRUE(points.ok()) << points.status();
  ASSERT_EQ(points->size(), 3U);
  // A third is the dense layer already.
  EXPECT_EQ((*points)[0][0].kept, 1);
  EXPECT_EQ((*points)[1][0].kept, 0);
  EXPECT_EQ((*points)[2][0].kept, 0);
  // Half of the others: the lowest ten are 0 to 6, 4.5 to 6.5.
  EXPECT_EQ((*points)[1][1].threshold, 6.5F);
  EXPECT_DOUBLE_EQ((*points)[1][1].kept, 0.3);
  EXPECT_DOUBLE_EQ((*points)[2][1].kept, 0.7);
  EXPECT_DOUBLE_EQ((*points)[2][1].recall, 0.7);
  EXPECT_EQ((*points)[1][2].kept, 1);
  EXPECT_EQ((*points)[2][2].kept, 1);
}

TEST(HeadThresholds, AllLayersDenseIsNoError) {
  const std::vector<std::vector<ScoredHead>> layers(2);
  const std::vector<double> shares = {0.5};
  EXPECT_TRUE(FindHeadThresholds(layers, shares).ok());
}

TEST(HeadThresholds, RefuseNaN) {
  const std::vector<std::vector<ScoredHead>> layers = {{{std::numeric_limits<float>::quiet_NaN(), 1}}};
  const std::vector<double> shares = {0.5};
  EXPECT_FALSE(FindHeadThresholds(layers, shares).ok());
}

}  // namespace
}  // namespace dejavu
