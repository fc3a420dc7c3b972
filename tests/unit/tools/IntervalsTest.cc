// Confidence intervals against tables and hand calculations.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tools/driver/Intervals.h"

namespace dejavu {
namespace {

TEST(StudentQuantile, IsTheTables) {
  EXPECT_NEAR(StudentQuantile(0.95, 1), 12.7062, 1e-4);
  EXPECT_NEAR(StudentQuantile(0.95, 2), 4.30265, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 3), 3.18245, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 9), 2.26216, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 30), 2.04227, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.99, 10), 3.16927, 1e-5);
  EXPECT_NEAR(StudentQuantile(0.95, 100000), 1.95999, 1e-4);
}

TEST(MeanInterval, IsStudents) {
  EXPECT_FALSE(MeanInterval(std::vector<double>{1}).has_value());
  const auto interval = MeanInterval(std::vector<double>{1, 2, 3, 4});
  ASSERT_TRUE(interval.has_value());
  EXPECT_DOUBLE_EQ(interval->value, 2.5);
  const double half = 3.18245 * std::sqrt(5.0 / 3 / 4);
  EXPECT_NEAR(interval->low, 2.5 - half, 1e-4);
  EXPECT_NEAR(interval->high, 2.5 + half, 1e-4);
}

TEST(ShareInterval, IsWilsonsForSingleTrials) {
  std::vector<Hits> groups(10, Hits{0, 1});
  for (size_t i = 0; i < 3; ++i) {
    groups[i].hits = 1;
  }
  const Interval interval = ShareInterval(groups);
  EXPECT_DOUBLE_EQ(interval.value, 0.3);
  // Wilson's for 3 of 10, up to the factor 10 / 9 in the spread between groups.
  EXPECT_NEAR(interval.low, 0.1078, 0.02);
  EXPECT_NEAR(interval.high, 0.6032, 0.02);
}

TEST(ShareInterval, IsWiderWhereTrialsOfAGroupAgree) {
  std::vector<Hits> agreeing;
  std::vector<Hits> mixed;
  for (int i = 0; i < 20; ++i) {
    agreeing.push_back({i % 2 == 0 ? 10 : 0, 10});
    mixed.push_back({i % 2 == 0 ? 4 : 6, 10});
  }
  const Interval wide = ShareInterval(agreeing);
  const Interval narrow = ShareInterval(mixed);
  EXPECT_DOUBLE_EQ(wide.value, narrow.value);
  EXPECT_GT(wide.high - wide.low, 2 * (narrow.high - narrow.low));
}

TEST(ShareInterval, HasWidthWhereAllAreWrongOrRight) {
  const Interval none = ShareInterval(std::vector<Hits>(16, Hits{0, 4}));
  EXPECT_EQ(none.low, 0);
  EXPECT_GT(none.high, 0.05);
  const Interval all = ShareInterval(std::vector<Hits>(16, Hits{4, 4}));
  EXPECT_EQ(all.high, 1);
  EXPECT_LT(all.low, 0.95);
}

TEST(DifferenceInterval, PairsGroups) {
  std::vector<Hits> a;
  std::vector<Hits> b;
  for (int i = 0; i < 30; ++i) {
    a.push_back({i % 11, 100});
    b.push_back({i % 11 - (i % 11 > 0 ? 1 : 0), 100});
  }
  const Interval interval = DifferenceInterval(a, b);
  EXPECT_NEAR(interval.value, 0.009, 1e-3);
  EXPECT_GT(interval.low, 0.007) << "the groups differ much more than each from its pair";
  EXPECT_LT(interval.high, 0.011);
}

TEST(DifferenceInterval, ClaimsNoMoreThanItsTrials) {
  const std::vector<Hits> same(10, Hits{5, 20});
  const Interval interval = DifferenceInterval(same, same);
  EXPECT_EQ(interval.value, 0);
  EXPECT_DOUBLE_EQ(interval.high, 3.0 / 200);
  EXPECT_DOUBLE_EQ(interval.low, -3.0 / 200);
}

}  // namespace
}  // namespace dejavu
