#include "tools/driver/Intervals.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace dejavu {
namespace {

constexpr double kInside = 0.95;
constexpr double kNormalQuantile = 1.959963984540054;

/// P(|T| <= t) by the finite sums for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4).
double StudentInside(double t, int64_t freedom) {
  const double theta = std::atan(t / std::sqrt(static_cast<double>(freedom)));
  const double sine = std::sin(theta);
  const double cosine = std::cos(theta);
  const bool odd = freedom % 2 == 1;
  double term = odd ? cosine : 1.0;
  double sum = freedom == 1 ? 0.0 : term;
  for (int64_t i = odd ? 3 : 2; i < freedom - 1; i += 2) {
    term *= cosine * cosine * static_cast<double>(i - 1) / static_cast<double>(i);
    sum += term;
  }
  return odd ? 2 / std::numbers::pi * (theta + sine * sum) : sine * sum;
}

/// The standard error of the mean.
double StandardError(std::span<const double> values, double mean) {
  double squares = 0;
  for (const double value : values) {
    squares += (value - mean) * (value - mean);
  }
  const auto count = static_cast<double>(values.size());
  return std::sqrt(squares / (count - 1) / count);
}

Hits Total(std::span<const Hits> groups) {
  Hits total;
  for (const Hits& group : groups) {
    total.hits += group.hits;
    total.trials += group.trials;
  }
  return total;
}

Interval Wilson(double share, double trials) {
  const double z2 = kNormalQuantile * kNormalQuantile;
  const double middle = (share + z2 / (2 * trials)) / (1 + z2 / trials);
  const double half =
      kNormalQuantile / (1 + z2 / trials) * std::sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials));
  return {share, std::max(0.0, std::min(share, middle - half)), std::min(1.0, std::max(share, middle + half))};
}

}  // namespace

double StudentQuantile(double inside, int64_t freedom) {
  double low = 0;
  double high = 1;
  while (StudentInside(high, freedom) < inside) {
    high *= 2;
  }
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (StudentInside(middle, freedom) < inside ? low : high) = middle;
  }
  return high;
}

std::optional<Interval> MeanInterval(std::span<const double> values) {
  if (values.size() < 2) {
    return std::nullopt;
  }
  double mean = 0;
  for (const double value : values) {
    mean += value / static_cast<double>(values.size());
  }
  const double half = StudentQuantile(kInside, static_cast<int64_t>(values.size()) - 1) * StandardError(values, mean);
  return Interval{mean, mean - half, mean + half};
}

Interval ShareInterval(std::span<const Hits> groups) {
  const Hits total = Total(groups);
  const auto trials = static_cast<double>(total.trials);
  const double share = static_cast<double>(total.hits) / trials;
  // The variance of a ratio of sums over groups.
  double squares = 0;
  for (const Hits& group : groups) {
    const double beyond = static_cast<double>(group.hits) - share * static_cast<double>(group.trials);
    squares += beyond * beyond;
  }
  const auto count = static_cast<double>(groups.size());
  const double variance = count > 1 ? squares * count / (count - 1) / (trials * trials) : 0;
  const double effective = variance > 0 ? share * (1 - share) / variance : count;
  return Wilson(share, std::clamp(effective, std::min(count, trials), trials));
}

Interval DifferenceInterval(std::span<const Hits> a, std::span<const Hits> b) {
  const auto trials = static_cast<double>(Total(a).trials);
  const double difference = static_cast<double>(Total(a).hits - Total(b).hits) / trials;
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double beyond = static_cast<double>(a[i].hits - b[i].hits) - difference * static_cast<double>(a[i].trials);
    squares += beyond * beyond;
  }
  const auto count = static_cast<double>(a.size());
  const double spread = count > 1 ? StudentQuantile(kInside, static_cast<int64_t>(a.size()) - 1) *
                                        std::sqrt(squares * count / (count - 1)) / trials
                                  : 1;
  const double half = std::max(spread, 3 / trials);
  return {difference, std::max(-1.0, difference - half), std::min(1.0, difference + half)};
}

}  // namespace dejavu
