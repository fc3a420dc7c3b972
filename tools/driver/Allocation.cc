#include "tools/driver/Allocation.h"

#include <algorithm>

namespace dejavu {
namespace {

struct PricedStep {
  AllocationStep step;
  double saved_per_microsecond = 0;
};

/// The fastest choice; of equally fast ones that which damages least.
size_t Fastest(const std::vector<ChoiceCost>& layer) {
  return static_cast<size_t>(std::min_element(layer.begin(), layer.end(),
                                              [](const ChoiceCost& a, const ChoiceCost& b) {
                                                return a.microseconds != b.microseconds
                                                           ? a.microseconds < b.microseconds
                                                           : a.damage < b.damage;
                                              }) -
                             layer.begin());
}

/// From `from` along the lower convex hull to the choice without damage that costs least.
std::vector<PricedStep> HullSteps(const std::vector<ChoiceCost>& layer, size_t number, size_t from) {
  std::vector<PricedStep> steps;
  while (true) {
    PricedStep best;
    for (size_t to = 0; to < layer.size(); ++to) {
      const double saved = layer[from].damage - layer[to].damage;
      // What is slower than `from`, which was the fastest of its damage: the time is above 0 but for equals.
      const double time = std::max(layer[to].microseconds - layer[from].microseconds, 1e-9);
      if (saved > 0 && saved / time > best.saved_per_microsecond) {
        best = {{number, to}, saved / time};
      }
    }
    if (best.saved_per_microsecond == 0) {
      return steps;
    }
    steps.push_back(best);
    from = best.step.choice;
  }
}

}  // namespace

std::vector<size_t> AllocationWalk::After(size_t count) const {
  std::vector<size_t> choices = start;
  for (size_t i = 0; i < std::min(count, steps.size()); ++i) {
    choices[steps[i].layer] = steps[i].choice;
  }
  return choices;
}

AllocationWalk PlanWalk(const std::vector<std::vector<ChoiceCost>>& costs) {
  AllocationWalk walk;
  std::vector<PricedStep> steps;
  for (size_t layer = 0; layer < costs.size(); ++layer) {
    walk.start.push_back(Fastest(costs[layer]));
    const std::vector<PricedStep> own = HullSteps(costs[layer], layer, walk.start.back());
    steps.insert(steps.end(), own.begin(), own.end());
  }
  // A hull's steps are worth less and less, so a stable sort keeps each layer's order.
  std::stable_sort(steps.begin(), steps.end(), [](const PricedStep& a, const PricedStep& b) {
    return a.saved_per_microsecond > b.saved_per_microsecond;
  });
  for (const PricedStep& step : steps) {
    walk.steps.push_back(step.step);
  }
  const std::vector<size_t> last = walk.After(walk.steps.size());
  for (size_t layer = 0; layer < last.size(); ++layer) {
    if (last[layer] != 0) {
      walk.steps.push_back({layer, 0});
    }
  }
  return walk;
}

ChoiceCost TotalOf(const std::vector<std::vector<ChoiceCost>>& costs, const std::vector<size_t>& choices) {
  ChoiceCost total;
  for (size_t layer = 0; layer < choices.size(); ++layer) {
    total.microseconds += costs[layer][choices[layer]].microseconds;
    total.damage += costs[layer][choices[layer]].damage;
  }
  return total;
}

}  // namespace dejavu
