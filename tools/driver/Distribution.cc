#include "tools/driver/Distribution.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace dejavu {
namespace {

constexpr size_t kBlock = 4096;

/// The sum of `term(i)` for i below `count`: blocks in parallel, their sums in order.
template <typename Term>
double BlockedSum(size_t count, const Term& term) {
  const size_t blocks = (count + kBlock - 1) / kBlock;
  std::vector<double> sums(blocks, 0.0);
#pragma omp parallel for schedule(static)
  for (size_t block = 0; block < blocks; ++block) {
    double sum = 0;
    for (size_t i = block * kBlock; i < std::min(count, (block + 1) * kBlock); ++i) {
      sum += term(i);
    }
    sums[block] = sum;
  }
  double total = 0;
  for (const double sum : sums) {
    total += sum;
  }
  return total;
}

}  // namespace

double LogSumExp(std::span<const float> logits) {
  const double highest = logits[ArgMax(logits)];
  return highest + std::log(BlockedSum(logits.size(), [&](size_t i) { return std::exp(logits[i] - highest); }));
}

double Divergence(std::span<const float> p_logits, double p_log_sum, std::span<const float> q_logits,
                  double q_log_sum) {
  const double sum = BlockedSum(p_logits.size(), [&](size_t i) {
    const double p_log = p_logits[i] - p_log_sum;
    const double q_log = q_logits[i] - q_log_sum;
    return std::exp(p_log) * (p_log - q_log);
  });
  // Rounding may leave a tiny negative number where the distributions are the same.
  return std::max(sum, 0.0);
}

double Mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

size_t ArgMax(std::span<const float> values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) {
    return 0;
  }
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
  const auto nth = values.begin() + static_cast<std::ptrdiff_t>(std::max<size_t>(rank, 1) - 1);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

}  // namespace dejavu
