#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "passes/sparsity/training/LowRankTrainer.h"
#include "passes/sparsity/training/Thresholds.h"

namespace dejavu {
namespace {

constexpr int64_t kWidth = 48;
constexpr int64_t kNeurons = 96;
constexpr int64_t kRank = 6;
constexpr int64_t kHeldOut = 512;

absl::Status NoTick() { return absl::OkStatus(); }

/// A layer whose neurons follow from six directions of what the predictor sees, up to a little noise.
struct PlantedLayer {
  LayerRows rows;
  std::vector<float> fc1;
  std::vector<float> bias;
  std::vector<float> norms;

  explicit PlantedLayer(int64_t count, double noise = 0.05) {
    std::mt19937_64 random(7);
    std::normal_distribution<double> normal;
    std::vector<double> mixing(kRank * kWidth);
    for (double& value : mixing) {
      value = normal(random);
    }
    rows.width = kWidth;
    for (int64_t i = 0; i < count; ++i) {
      std::vector<double> x(kWidth);
      for (double& value : x) {
        value = normal(random) + 0.5;
      }
      for (const double value : x) {
        rows.predictor_inputs.push_back(FloatToHalf(static_cast<float>(value)));
      }
      std::vector<double> hidden(kRank);
      for (int64_t r = 0; r < kRank; ++r) {
        for (int64_t j = 0; j < kWidth; ++j) {
          hidden[r] += mixing[r * kWidth + j] * x[j] / std::sqrt(kWidth);
        }
      }
      for (int64_t j = 0; j < kWidth; ++j) {
        rows.mlp_inputs.push_back(
            FloatToHalf(static_cast<float>(hidden[static_cast<size_t>(j % kRank)] + noise * normal(random))));
      }
    }
    for (int64_t i = 0; i < kNeurons * kWidth; ++i) {
      fc1.push_back(static_cast<float>(normal(random) / std::sqrt(kWidth)));
    }
    for (int64_t i = 0; i < kNeurons; ++i) {
      bias.push_back(static_cast<float>(-2 + normal(random) * 0.2));
      norms.push_back(static_cast<float>(0.5 + (i % 3)));
    }
  }
  [[nodiscard]] MlpWeights mlp() const { return {kNeurons, fc1, bias, norms}; }
};

TEST(LowRankTrainer, FindsAPlantedRule) {
  const PlantedLayer layer(4096);
  const MlpWeights mlp = layer.mlp();
  const auto trainer = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, 16, 2, NoTick);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  const std::vector<double> masses = {0.9, 0.99, 0.999};
  const auto points_of = [&](int64_t rank) {
    const auto predictor = trainer->Train(rank);
    const auto deployed = AsDeployed(predictor.value(), 8);
    return FindThresholds(deployed.value(), layer.rows, kHeldOut, mlp, masses, 2).value();
  };
  const LayerActivity activity = MeasureActivity(layer.rows, kHeldOut, mlp, {}, 1);
  EXPECT_GT(activity.density, 0.005);
  EXPECT_LT(activity.density, 0.3);
  const std::vector<OperatingPoint> enough = points_of(kRank);
  const std::vector<OperatingPoint> few = points_of(1);
  // Nearly nothing but what is active is chosen; one direction can't tell.
  EXPECT_LT(enough[2].kept, 1.3 * activity.density);
  EXPECT_GT(few[2].kept, 2 * enough[2].kept);
  for (size_t i = 0; i < masses.size(); ++i) {
    EXPECT_GE(enough[i].recall, i == 0 ? 0.5 : 0.8);
    EXPECT_EQ(enough[i].mass, masses[i]);
    EXPECT_TRUE(i == 0 || enough[i].threshold <= enough[i - 1].threshold);
    EXPECT_TRUE(i == 0 || enough[i].kept >= enough[i - 1].kept);
  }
}

TEST(LowRankTrainer, DoesNotDependOnThreads) {
  const PlantedLayer layer(1024);
  const MlpWeights mlp = layer.mlp();
  const auto one = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, 8, 1, NoTick);
  const auto three = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, 8, 3, NoTick);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->Train(8)->down, three->Train(8)->down);
  EXPECT_EQ(one->Train(8)->up, three->Train(8)->up);
}

TEST(LowRankTrainer, KeepsWholeMassWithinRounding) {
  const PlantedLayer layer(1024);
  const MlpWeights mlp = layer.mlp();
  const auto trainer = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, 8, 1, NoTick);
  const std::vector<double> all = {1.0};
  const auto points = FindThresholds(trainer->Train(8).value(), layer.rows, kHeldOut, mlp, all, 1);
  ASSERT_TRUE(points.ok()) << points.status();
  EXPECT_EQ(points->front().recall, 1);
}

TEST(LowRankTrainer, RefusesTooFewRowsAndDamagedOnes) {
  const PlantedLayer small(kHeldOut);
  EXPECT_THAT(LowRankTrainer::Create(small.rows, kHeldOut, small.mlp(), 8, 1, NoTick).status().message(),
              testing::HasSubstr("too few to train on"));
  PlantedLayer damaged(1024);
  damaged.rows.predictor_inputs[5] = 0x7C00;  // infinite
  EXPECT_FALSE(LowRankTrainer::Create(damaged.rows, kHeldOut, damaged.mlp(), 8, 1, NoTick).ok());
}

TEST(LowRankTrainer, StopsWhenAsked) {
  const PlantedLayer layer(1024);
  const auto trainer =
      LowRankTrainer::Create(layer.rows, kHeldOut, layer.mlp(), 8, 1, [] { return absl::CancelledError("stop"); });
  EXPECT_TRUE(absl::IsCancelled(trainer.status()));
}

TEST(Thresholds, RefuseALayerWhereNothingIsActive) {
  PlantedLayer layer(1024);
  std::fill(layer.bias.begin(), layer.bias.end(), -1000.0F);
  const MlpWeights mlp = layer.mlp();
  const auto trainer = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, 8, 1, NoTick);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  const std::vector<double> masses = {0.9};
  EXPECT_THAT(FindThresholds(trainer->Train(8).value(), layer.rows, kHeldOut, mlp, masses, 1).status().message(),
              testing::HasSubstr("nothing is active"));
  EXPECT_EQ(MeasureActivity(layer.rows, kHeldOut, mlp, {}, 1).density, 0);
}

}  // namespace
}  // namespace dejavu
