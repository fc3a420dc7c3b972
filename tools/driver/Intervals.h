// Confidence intervals of what was measured on a sample.
#ifndef DEJAVU_TOOLS_DRIVER_INTERVALS_H_
#define DEJAVU_TOOLS_DRIVER_INTERVALS_H_

#include <cstdint>
#include <optional>
#include <span>

namespace dejavu {

/// A value and the ends of its 95 % confidence interval.
struct Interval {
  double value = 0;
  double low = 0;
  double high = 0;
};

/// Right answers among the trials of one group: trials of different groups are independent, those of one need not be.
struct Hits {
  int64_t hits = 0;
  int64_t trials = 0;
};

/// The quantile of Student's t distribution: P(|T| <= t) = `inside`, which is above 0 and below 1, for `freedom` >= 1
/// degrees of freedom.
[[nodiscard]] double StudentQuantile(double inside, int64_t freedom);

/// The mean of independent values with Student's interval; nothing for fewer than two, which have no spread.
[[nodiscard]] std::optional<Interval> MeanInterval(std::span<const double> values);

/// The share of hits over all groups with Wilson's interval. Trials count for as many independent ones as the spread
/// between the groups shows (Kish's effective sample size), at least one a group. There must be a trial.
[[nodiscard]] Interval ShareInterval(std::span<const Hits> groups);

/// How much larger the share of hits is in `a` than in `b`, which hold the same trials in the same groups: by the
/// spread of the groups' differences. The interval reaches at least three trials to both sides, since so many can fail
/// unseen (the rule of three).
[[nodiscard]] Interval DifferenceInterval(std::span<const Hits> a, std::span<const Hits> b);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_INTERVALS_H_
