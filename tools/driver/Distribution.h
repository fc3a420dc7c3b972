// Softmax distributions over a vocabulary, in double precision.
#ifndef DEJAVU_TOOLS_DRIVER_DISTRIBUTION_H_
#define DEJAVU_TOOLS_DRIVER_DISTRIBUTION_H_

#include <cstddef>
#include <span>
#include <vector>

namespace dejavu {

/// log(sum(exp(logits))) without overflow. Computed in blocks by all OpenMP threads; their number doesn't change a bit.
[[nodiscard]] double LogSumExp(std::span<const float> logits);

/// sum(p * log(p / q)) in nats, where p and q are the softmaxes of the logits and `p_log_sum`, `q_log_sum` their
/// LogSumExp(). Both have the same size.
[[nodiscard]] double Divergence(std::span<const float> p_logits, double p_log_sum, std::span<const float> q_logits,
                                double q_log_sum);

/// Of some values; NaN of none.
[[nodiscard]] double Mean(std::span<const double> values);

/// The index of the largest value, the first of equal ones.
[[nodiscard]] size_t ArgMax(std::span<const float> values);

/// The smallest of `values` that is not below `share` of them (nearest rank); 0 for none.
[[nodiscard]] double Percentile(std::vector<double> values, double share);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_DISTRIBUTION_H_
