// Counting which active neurons a list has.
#include <gtest/gtest.h>

#include <array>

#include "tools/driver/Recall.h"

namespace dejavu {
namespace {

constexpr std::array<float, 6> kDense = {0, 3, 0, 1, 0, 4};
constexpr std::array<int32_t, 3> kList = {1, 2, 3};
constexpr std::array<float, 3> kListed = {3, 0, 1};

TEST(Recall, CountsByNumberAndByValue) {
  RecallCounts counts;
  const LayerNeurons sparse = {true, kList, kListed};
  const LayerNeurons dense = {false, {}, kDense};
  counts.Add(sparse, 6);
  counts.AddReference(sparse, dense, 6);
  EXPECT_DOUBLE_EQ(counts.Recall(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(counts.MassRecall(), 0.5);
  EXPECT_DOUBLE_EQ(counts.MissedSquares(), 16.0 / 26);
  EXPECT_DOUBLE_EQ(counts.Precision(), 2.0 / 3);
  EXPECT_EQ(counts.own_active, 2);
}

TEST(Recall, IsWholeForADenseLayer) {
  RecallCounts counts;
  const LayerNeurons dense = {false, {}, kDense};
  counts.Add(dense, 6);
  counts.AddReference(dense, dense, 6);
  EXPECT_EQ(counts.Recall(), 1);
  EXPECT_EQ(counts.MassRecall(), 1);
  EXPECT_EQ(counts.MissedSquares(), 0);
  EXPECT_DOUBLE_EQ(counts.Precision(), 0.5);
}

TEST(Recall, TakesASparseReference) {
  RecallCounts counts;
  const LayerNeurons dense = {false, {}, kDense};
  counts.AddReference(dense, {true, kList, kListed}, 6);
  EXPECT_EQ(counts.active, 2);
  EXPECT_EQ(counts.found, 2);
}

TEST(Recall, IsWholeWhereNothingIsActive) {
  const RecallCounts counts;
  EXPECT_EQ(counts.Recall(), 1);
  EXPECT_EQ(counts.MassRecall(), 1);
  EXPECT_EQ(counts.MissedSquares(), 0);
  EXPECT_EQ(counts.Precision(), 1);
}

TEST(NeuronValues, AreKnownWhereAllListedRowsAreRead) {
  // A launch with an early list has no rows that depend on the values.
  Launch launch;
  launch.kernel = "sparse_fc2";
  launch.layer = 1;
  launch.neurons = 6;
  launch.per_active = PerActive{.arg = 1, .bytes = 8};
  Plan plan;
  plan.functions["decode"].launches = {launch};
  ModelInfo model;
  model.layers = 2;
  const std::vector<NeuronValues> values = FindNeuronValues(plan, model);
  EXPECT_FALSE(values[0].known);
  EXPECT_TRUE(values[1].known);
  EXPECT_EQ(values[1].h, 0U);
  EXPECT_EQ(values[1].list, 1U);
}

TEST(HeadCounts, SharesEnergy) {
  constexpr std::array<int32_t, 2> list = {0, 2};
  constexpr std::array<double, 3> energies = {1, 4, 5};
  HeadCounts counts;
  EXPECT_EQ(counts.Recall(), 1) << "nothing was there to find";
  counts.Add({.listed = true, .list = list, .values = {}}, energies);
  EXPECT_DOUBLE_EQ(counts.Recall(), 0.6);
  HeadCounts dense;
  dense.Add({}, energies);
  EXPECT_EQ(dense.Recall(), 1);
  counts.Add(dense);
  EXPECT_DOUBLE_EQ(counts.Recall(), 0.8);
}

}  // namespace
}  // namespace dejavu
