// How much of what a head adds reaches the model's output: what makes heads of all layers comparable.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_SENSITIVITY_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_SENSITIVITY_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "ir/base/Status.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// Called now and then with the share of the work that is done; an error ends the work with it.
using OnShare = std::function<absl::Status(double)>;

/// By layer and head: E[(g . c)^2] / E[|c|^2] over the tokens of `windows`, where c is what the head adds, and g the
/// gradient, there, of the log-likelihood of one next token at each position, drawn from the model's own distribution.
/// Leaving c out changes that by about g . c, so half of E[(g . c)^2] is about the divergence that it costs, in nats
/// (the quadratic form of the Fisher information); a head's sensitivity times |c|^2 is twice that on average.
///
/// `function` is a @prefill at [model]; its ops are run forwards and backwards in f32. Each window is at most as long
/// as the model's positions. Equal calls give equal numbers, whatever `threads` is. Fails on an op that has no
/// derivative here, on numbers that overflow, and with what `on_share` returns.
[[nodiscard]] absl::StatusOr<std::vector<std::vector<double>>> MeasureSensitivity(
    const Function& function, WeightStore& store, std::span<const std::vector<int32_t>> windows, int threads,
    const OnShare& on_share);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_SENSITIVITY_H_
