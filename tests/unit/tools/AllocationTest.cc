// Choosing a predictor for each layer by time and damage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tools/driver/Allocation.h"

namespace dejavu {
namespace {

using ::testing::ElementsAre;
using Costs = std::vector<std::vector<ChoiceCost>>;

TEST(Allocation, TakesTheMostDamageAwayForTheLeastTime) {
  // Layer 1 is ten times as sensitive. Choices: dense, careful, bold.
  const Costs costs = {{{100, 0}, {40, 0.01}, {20, 0.05}}, {{100, 0}, {40, 0.1}, {20, 0.5}}};
  const AllocationWalk walk = PlanWalk(costs);
  EXPECT_THAT(walk.start, ElementsAre(2, 2));
  ASSERT_EQ(walk.steps.size(), 4U);
  EXPECT_THAT(walk.After(0), ElementsAre(2, 2));
  EXPECT_THAT(walk.After(1), ElementsAre(2, 1));
  EXPECT_THAT(walk.After(2), ElementsAre(1, 1));
  EXPECT_THAT(walk.After(3), ElementsAre(1, 0));
  EXPECT_THAT(walk.After(4), ElementsAre(0, 0));
  EXPECT_THAT(walk.After(9), ElementsAre(0, 0));
  EXPECT_DOUBLE_EQ(TotalOf(costs, walk.After(1)).microseconds, 60);
  EXPECT_DOUBLE_EQ(TotalOf(costs, walk.After(1)).damage, 0.15);
}

TEST(Allocation, PassesByWhatLiesAboveTheHull) {
  // Choice 1 takes little damage away for much time: choice 2 is the better next step.
  const AllocationWalk walk = PlanWalk({{{100, 0}, {50, 0.4}, {60, 0.05}, {20, 0.5}}});
  EXPECT_THAT(walk.start, ElementsAre(3));
  ASSERT_EQ(walk.steps.size(), 2U);
  EXPECT_EQ(walk.steps[0].choice, 2U);
  EXPECT_EQ(walk.steps[1].choice, 0U);
}

TEST(Allocation, LeavesALayerDenseWhereThatIsFastest) {
  const AllocationWalk walk = PlanWalk({{{10, 0}, {12, 0.1}}});
  EXPECT_THAT(walk.start, ElementsAre(0));
  EXPECT_TRUE(walk.steps.empty());
}

TEST(Allocation, EndsDenseEvenWhereNoDamageWasMeasured) {
  const AllocationWalk walk = PlanWalk({{{100, 0}, {20, 0}}});
  EXPECT_THAT(walk.start, ElementsAre(1));
  EXPECT_THAT(walk.After(1), ElementsAre(0));
}

/// The least damage of all allocations that take at most `time`.
double LeastDamage(const Costs& costs, double time, size_t layer = 0) {
  if (layer == costs.size()) {
    return 0;
  }
  double least = 1e9;
  for (const ChoiceCost& cost : costs[layer]) {
    if (cost.microseconds <= time) {
      least = std::min(least, cost.damage + LeastDamage(costs, time - cost.microseconds, layer + 1));
    }
  }
  return least;
}

TEST(Allocation, IsTheBestForItsTime) {
  std::mt19937_64 random(std::random_device{}());
  std::uniform_real_distribution<double> value(0, 1);
  for (int round = 0; round < 200; ++round) {
    Costs costs(4);
    for (auto& layer : costs) {
      layer.push_back({1 + value(random), 0});
      for (int choice = 0; choice < 4; ++choice) {
        layer.push_back({value(random), value(random)});
      }
    }
    const AllocationWalk walk = PlanWalk(costs);
    for (size_t step = 0; step <= walk.steps.size(); ++step) {
      const ChoiceCost total = TotalOf(costs, walk.After(step));
      EXPECT_LE(total.damage, LeastDamage(costs, total.microseconds + 1e-9) + 1e-9) << "after " << step << " steps";
    }
  }
}

}  // namespace
}  // namespace dejavu
