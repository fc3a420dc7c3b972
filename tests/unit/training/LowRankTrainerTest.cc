#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "ir/base/PredictorRows.h"
#include "passes/sparsity/training/LinearAlgebra.h"
#include "passes/sparsity/training/LowRankTrainer.h"
#include "passes/sparsity/training/RoundRows.h"
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

  /// Each direction is `decay` times the one before.
  explicit PlantedLayer(int64_t count, double noise = 0.05, double decay = 1) {
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
          hidden[r] += mixing[r * kWidth + j] * x[j] / std::sqrt(kWidth) * std::pow(decay, r);
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
  const auto trainer = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, {.max_rank = 16, .threads = 2}, NoTick);
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

TEST(LowRankTrainer, GivesRoundingColumnsOfOneSize) {
  const PlantedLayer layer(4096, 0.01, 0.4);
  const MlpWeights mlp = layer.mlp();
  const auto trainer = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, {.max_rank = kRank, .threads = 2}, NoTick);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  // Directions differ a hundredfold, but that is for the rows of the first matrix, which have scales of their own.
  const LowRankPredictor predictor = trainer->Train(kRank).value();
  std::vector<double> of_up(kRank);
  std::vector<double> of_down(kRank);
  for (int64_t i = 0; i < kRank; ++i) {
    for (int64_t j = 0; j < kNeurons; ++j) {
      of_up[i] += std::pow(predictor.up[j * kRank + i], 2) / kNeurons;
    }
    for (int64_t j = 0; j < kWidth; ++j) {
      of_down[i] += std::pow(predictor.down[i * kWidth + j], 2);
    }
    EXPECT_NEAR(of_up[i], 1, 1e-3);
  }
  EXPECT_GT(of_down.front(), 100 * of_down.back());
  const std::vector<double> masses = {0.99};
  const auto kept = [&](int64_t bits) {
    const auto rounding =
        LowRankTrainer::Create(layer.rows, kHeldOut, mlp, {.max_rank = kRank, .bits = bits, .threads = 2}, NoTick);
    const auto deployed = AsDeployed(rounding->Train(kRank, 4096).value(), bits);
    return FindThresholds(deployed.value(), layer.rows, kHeldOut, mlp, masses, 2).value()[0].kept;
  };
  EXPECT_NEAR(kept(8), kept(16), 0.05 * kept(16));
}

TEST(LowRankTrainer, DoesNotDependOnThreads) {
  const PlantedLayer layer(1024);
  const MlpWeights mlp = layer.mlp();
  const auto one = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, {.max_rank = 8, .threads = 1}, NoTick);
  const auto three = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, {.max_rank = 8, .threads = 3}, NoTick);
  ASSERT_TRUE(one.ok() && three.ok());
  EXPECT_EQ(one->Train(8)->down, three->Train(8)->down);
  EXPECT_EQ(one->Train(8)->up, three->Train(8)->up);
}

TEST(LowRankTrainer, KeepsWholeMassWithinRounding) {
  const PlantedLayer layer(1024);
  const MlpWeights mlp = layer.mlp();
  const auto trainer = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, {.max_rank = 8, .threads = 1}, NoTick);
  const std::vector<double> all = {1.0};
  const auto points = FindThresholds(trainer->Train(8).value(), layer.rows, kHeldOut, mlp, all, 1);
  ASSERT_TRUE(points.ok()) << points.status();
  EXPECT_EQ(points->front().recall, 1);
}

TEST(Thresholds, OfAnOracleKeepTheMassWithTheFewestNeurons) {
  const PlantedLayer layer(2048);
  const MlpWeights mlp = layer.mlp();
  const std::vector<double> masses = {0.5, 0.9, 1};
  const LayerActivity activity = MeasureActivity(layer.rows, kHeldOut, mlp, masses, 2);
  ASSERT_EQ(activity.best.size(), masses.size());
  // Counted again, neuron by neuron.
  std::vector<double> kept(masses.size());
  std::vector<int64_t> chosen(masses.size());
  double total = 0;
  std::vector<float> x(kWidth);
  for (int64_t row = layer.rows.rows() - kHeldOut; row < layer.rows.rows(); ++row) {
    LoadRows(layer.rows.mlp_inputs, kWidth, row, 1, x.data());
    for (int64_t i = 0; i < kNeurons; ++i) {
      double z = layer.bias[i];
      for (int64_t j = 0; j < kWidth; ++j) {
        z += static_cast<double>(layer.fc1[i * kWidth + j]) * x[j];
      }
      const double mass = std::max(z, 0.0) * layer.norms[i];
      total += mass;
      for (size_t m = 0; m < masses.size(); ++m) {
        // The one that the threshold lies right below is kept, though it is rounded differently here.
        const bool is_kept = mass > activity.best[m].threshold * (1 - 1e-5);
        kept[m] += is_kept ? mass : 0;
        chosen[m] += is_kept ? 1 : 0;
      }
    }
  }
  for (size_t m = 0; m < masses.size(); ++m) {
    EXPECT_NEAR(kept[m] / total, masses[m], 1e-3);
    EXPECT_NEAR(static_cast<double>(chosen[m]) / (kHeldOut * kNeurons), activity.best[m].kept, 1e-4);
  }
  EXPECT_EQ(activity.best[2].recall, 1);
  EXPECT_NEAR(activity.best[2].kept, activity.density, 1e-9);
  EXPECT_LT(activity.best[0].kept, activity.best[1].kept);
  EXPECT_LT(activity.best[0].recall, 0.5);  // the largest half of the mass is less than half of the neurons
}

TEST(AsDeployed, RoundsLikeTheBitsThatShip) {
  std::mt19937_64 random(3);
  std::normal_distribution<float> normal;
  constexpr int64_t kRows = 5;
  for (const int64_t columns : {64, 48}) {
    std::vector<float> matrix(static_cast<size_t>(kRows * columns));
    std::generate(matrix.begin(), matrix.end(), [&] { return normal(random); });
    const auto error = [&](int64_t bits) {
      const std::vector<float> rounded = AsDeployed(matrix, kRows, columns, bits).value();
      double square = 0;
      for (size_t i = 0; i < matrix.size(); ++i) {
        square += std::pow(static_cast<double>(rounded[i]) - matrix[i], 2) / static_cast<double>(matrix.size());
      }
      return std::sqrt(square);
    };
    EXPECT_LT(error(16), 1e-3);
    EXPECT_GT(error(8), 2e-3);
    EXPECT_LT(error(8), 2e-2);
    // 48 columns can't be packed.
    EXPECT_EQ(error(4) > 5e-2, columns == 64);
    EXPECT_LT(error(4), 0.3);
    EXPECT_EQ(PredictorMatrixBytes(4, kRows, columns), kRows * ((columns == 64 ? 32 : 48) + 8));
    EXPECT_EQ(PredictorMatrixBytes(16, kRows, columns), kRows * (2 * columns + 4));
  }
}

TEST(RoundRows, LosesLessThanRoundingByItselfAndIsWhatThePackingFinds) {
  constexpr int64_t kColumns = 64;
  constexpr int64_t kRows = 40;
  std::mt19937_64 random(11);
  std::normal_distribution<double> normal;
  // x = mixing n, whose directions differ a hundredfold.
  std::vector<double> mixing(kColumns * kColumns);
  for (int64_t i = 0; i < kColumns * kColumns; ++i) {
    mixing[i] = normal(random) * std::pow(100.0, -static_cast<double>(i % kColumns) / kColumns);
  }
  std::vector<double> covariance(kColumns * kColumns);
  for (int64_t i = 0; i < kColumns; ++i) {
    for (int64_t j = 0; j < kColumns; ++j) {
      for (int64_t k = 0; k < kColumns; ++k) {
        covariance[i * kColumns + j] += mixing[i * kColumns + k] * mixing[j * kColumns + k];
      }
      covariance[i * kColumns + j] += i == j ? 1e-6 : 0;
    }
  }
  std::vector<double> lower = covariance;
  ASSERT_TRUE(Cholesky(kColumns, lower).ok());
  std::vector<float> matrix(kRows * kColumns);
  std::generate(matrix.begin(), matrix.end(), [&] { return static_cast<float>(normal(random)); });
  std::fill_n(matrix.begin(), kColumns, 0.0F);
  const auto variance = [&](const std::vector<float>& rounded) {
    double sum = 0;
    for (int64_t row = 0; row < kRows; ++row) {
      for (int64_t i = 0; i < kColumns; ++i) {
        for (int64_t j = 0; j < kColumns; ++j) {
          const auto error = [&](int64_t at) {
            return static_cast<double>(matrix[row * kColumns + at]) - rounded[row * kColumns + at];
          };
          sum += error(i) * error(j) * covariance[i * kColumns + j];
        }
      }
    }
    return sum;
  };
  std::vector<float> careful = matrix;
  RoundRows(careful, kColumns, lower, 1);
  std::vector<float> again = matrix;
  RoundRows(again, kColumns, lower, 3);
  EXPECT_EQ(careful, again);
  EXPECT_EQ(std::count(careful.begin(), careful.begin() + kColumns, 0.0F), kColumns);
  const std::vector<float> deployed = AsDeployed(careful, kRows, kColumns, 4).value();
  for (size_t i = 0; i < deployed.size(); ++i) {
    EXPECT_NEAR(deployed[i], careful[i], 1e-3 * std::abs(careful[i]));
  }
  EXPECT_LT(variance(deployed), 0.3 * variance(AsDeployed(matrix, kRows, kColumns, 4).value()));
}

TEST(LowRankTrainer, RefusesTooFewRowsAndDamagedOnes) {
  const PlantedLayer small(kHeldOut);
  EXPECT_THAT(LowRankTrainer::Create(small.rows, kHeldOut, small.mlp(), {.max_rank = 8, .threads = 1}, NoTick)
                  .status()
                  .message(),
              testing::HasSubstr("too few to train on"));
  PlantedLayer damaged(1024);
  damaged.rows.predictor_inputs[5] = 0x7C00;  // infinite
  EXPECT_FALSE(
      LowRankTrainer::Create(damaged.rows, kHeldOut, damaged.mlp(), {.max_rank = 8, .threads = 1}, NoTick).ok());
}

TEST(LowRankTrainer, StopsWhenAsked) {
  const PlantedLayer layer(1024);
  const auto trainer = LowRankTrainer::Create(layer.rows, kHeldOut, layer.mlp(), {.max_rank = 8, .threads = 1},
                                              [] { return absl::CancelledError("stop"); });
  EXPECT_TRUE(absl::IsCancelled(trainer.status()));
}

TEST(Thresholds, RefuseALayerWhereNothingIsActive) {
  PlantedLayer layer(1024);
  std::fill(layer.bias.begin(), layer.bias.end(), -1000.0F);
  const MlpWeights mlp = layer.mlp();
  const auto trainer = LowRankTrainer::Create(layer.rows, kHeldOut, mlp, {.max_rank = 8, .threads = 1}, NoTick);
  ASSERT_TRUE(trainer.ok()) << trainer.status();
  const std::vector<double> masses = {0.9};
  EXPECT_THAT(FindThresholds(trainer->Train(8).value(), layer.rows, kHeldOut, mlp, masses, 1).status().message(),
              testing::HasSubstr("nothing is active"));
  EXPECT_EQ(MeasureActivity(layer.rows, kHeldOut, mlp, {}, 1).density, 0);
}

}  // namespace
}  // namespace dejavu
