// Which predictor each layer shall have: the cheapest for a damage that adds up. Where heads choose as well, what is
// called a layer here is a place: the MLP or the attention of one.
#ifndef DEJAVU_TOOLS_DRIVER_ALLOCATION_H_
#define DEJAVU_TOOLS_DRIVER_ALLOCATION_H_

#include <cstddef>
#include <vector>

namespace dejavu {

/// One layer with one choice.
struct ChoiceCost {
  double microseconds = 0;
  double damage = 0;  ///< What it adds to the divergence, in nats; at least 0.
};

/// Layer `layer` changes to `choice`.
struct AllocationStep {
  size_t layer = 0;
  size_t choice = 0;
};

/// A walk through allocations, from the fastest to the most careful, which is all dense.
struct AllocationWalk {
  std::vector<size_t> start;          ///< Each layer's fastest choice.
  std::vector<AllocationStep> steps;  ///< Each takes away damage for time, the most for the least first.

  /// Each layer's choice after the first `count` steps.
  [[nodiscard]] std::vector<size_t> After(size_t count) const;
};

/// `costs[layer][choice]`; choice 0 is dense and damages nothing. Each prefix of the walk but its last steps is an
/// allocation that no other beats in both time and damage by as much of either as a step takes: layers go along the
/// lower convex hulls of their choices. The last steps make dense what measured no damage, in case that is wrong.
[[nodiscard]] AllocationWalk PlanWalk(const std::vector<std::vector<ChoiceCost>>& costs);

/// The sums over the layers.
[[nodiscard]] ChoiceCost TotalOf(const std::vector<std::vector<ChoiceCost>>& costs, const std::vector<size_t>& choices);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_ALLOCATION_H_
