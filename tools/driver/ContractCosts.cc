#include "tools/driver/ContractCosts.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>

#include "absl/strings/str_cat.h"
#include "ir/base/Status.h"

namespace dejavu {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();  // no place chooses what costs this

using ModelPointer = std::shared_ptr<const Model>;

bool IsForHeads(const std::string& candidate) { return candidate.starts_with(kHeadsFamily); }

bool LeavesOutHeads(const Evaluation& result) {
  return std::any_of(result.head_density.begin(), result.head_density.end(),
                     [](double density) { return density < 1; });
}

}  // namespace

ContractPlaces::ContractPlaces(const ContractBuild& build)
    : layers_(static_cast<size_t>(build.layers)),
      has_heads_(std::any_of(build.candidates.begin(), build.candidates.end(), IsForHeads)) {}

bool ContractCosts::MayHave(size_t place, size_t choice) const {
  return IsForHeads(Candidate(choice)) == places_.IsAttention(place);
}

/// What a place costs in a comparison, in the prices' microseconds.
double ContractCosts::PriceOf(size_t place, const LayerCosts& costs, double scale) const {
  const auto price = [&](const Cost& cost) {
    return build_.prices == Prices::kBytes ? cost.bytes / kBytesPerMicrosecond : cost.microseconds * scale;
  };
  if (places_.IsAttention(place)) {
    return price(costs.attention) + price(costs.head_predictors);
  }
  const double of_heads = with_attention_ ? price(costs.attention) : -price(costs.head_predictors);
  return price(costs.mlp) + price(costs.predictors) + of_heads;
}

/// Compares every candidate, for all layers, with the dense model.
absl::Status ContractCosts::PriceCandidates(const OnCompared& on_compared) {
  costs_.assign(places_.count(), std::vector<ChoiceCost>(build_.candidates.size() + 1));
  missed_.assign(places_.count(), std::vector<double>(build_.candidates.size() + 1, 0));
  std::vector<Evaluation> results;
  std::vector<double> scales;
  for (size_t choice = 1; choice <= build_.candidates.size(); ++choice) {
    ASSIGN_OR_RETURN(const ModelPointer model, judge_.Load({choice}));
    ASSIGN_OR_RETURN(results.emplace_back(),
                     judge_.Compare(model, TextPart::kSample,
                                    absl::StrCat(Candidate(choice), ", ", choice, " of ", build_.candidates.size())));
    const Evaluation& result = results.back();
    scales.push_back(judge_.TimeScale(result));
    on_compared(Candidate(choice), result, scales.back());
    divergences_.push_back(result.against->kl_mean);
    // A single candidate may be for heads as well.
    with_attention_ = !places_.has_heads() && (with_attention_ || LeavesOutHeads(result));
  }
  dense_bytes_ = results[0].against->bytes_per_token;
  for (size_t place = 0; place < places_.count(); ++place) {
    for (size_t i = 0; i < results.size(); ++i) {
      costs_[place][0].microseconds +=
          PriceOf(place, results[i].against->costs.layers[places_.LayerOf(place)], scales[i]) /
          static_cast<double>(results.size());
      SetPrice(place, i + 1, results[i], scales[i]);
    }
  }
  return absl::OkStatus();
}

void ContractCosts::SetPrice(size_t place, size_t choice, const Evaluation& result, double scale) {
  const size_t layer = places_.LayerOf(place);
  const Comparison& against = *result.against;
  // An attention that computes all heads is dense, whatever it is called.
  if (!MayHave(place, choice) || (places_.IsAttention(place) && result.head_density[layer] == 1)) {
    costs_[place][choice].microseconds = kNever;
    return;
  }
  costs_[place][choice].microseconds = PriceOf(place, result.costs.layers[layer], scale);
  if (!places_.IsAttention(place)) {
    missed_[place][choice] = against.mlp_missed.empty() ? 0 : against.mlp_missed[layer];
  }
}

absl::StatusOr<double> ContractCosts::DamageAlone(size_t place, size_t choice) const {
  std::vector<size_t> choices(places_.count(), 0);
  choices[place] = choice;
  ASSIGN_OR_RETURN(const ModelPointer model, judge_.Load(choices));
  ASSIGN_OR_RETURN(const Evaluation result,
                   judge_.Compare(model, TextPart::kSample,
                                  absl::StrCat(Candidate(choice), " in layer ", places_.LayerOf(place), " of ",
                                               places_.layers(), " alone")));
  return result.against.value_or(Comparison()).kl_mean;
}

/// Choices by family.
std::map<std::string, std::vector<size_t>> ContractCosts::Families() const {
  std::map<std::string, std::vector<size_t>> families;
  for (size_t choice = 1; choice <= build_.candidates.size(); ++choice) {
    families[Candidate(choice).substr(0, Candidate(choice).find('/'))].push_back(choice);
  }
  return families;
}

/// Of a family, the choice with the largest divergence that is still small: it can be measured best.
size_t ContractCosts::Boldest(const std::vector<size_t>& family) const {
  const auto rank = [&](size_t choice) {
    const double divergence = divergences_[choice - 1];
    return divergence <= kSmallDivergence ? divergence : -divergence;
  };
  return *std::max_element(family.begin(), family.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
}

/// Each attention with each choice of heads alone, the mildest first: what heads do differs too much from layer to
/// layer, and from share to share, to follow from anything else. What alone is more than the bounds allow is out of
/// question, and so is what is bolder.
absl::Status ContractCosts::MeasureHeads(std::vector<size_t> family, double most) {
  const auto divergence = [&](size_t choice) { return divergences_[choice - 1]; };
  std::stable_sort(family.begin(), family.end(), [&](size_t a, size_t b) { return divergence(a) < divergence(b); });
  std::cerr << "measuring each layer's heads alone\n";
  for (size_t place = places_.layers(); place < places_.count(); ++place) {
    bool within = true;
    for (const size_t choice : family) {
      ChoiceCost& cost = costs_[place][choice];
      if (within && std::isfinite(cost.microseconds)) {
        ASSIGN_OR_RETURN(cost.damage, DamageAlone(place, choice));
        within = cost.damage <= most;
      }
      cost.microseconds = within ? cost.microseconds : kNever;
    }
  }
  return absl::OkStatus();
}

/// Each MLP with the boldest of the family alone; damages of the others follow from what they miss.
absl::Status ContractCosts::MeasureNeurons(const std::vector<size_t>& family) {
  const size_t boldest = Boldest(family);
  std::cerr << "measuring each layer with " << Candidate(boldest) << " alone\n";
  double sum = 0;
  double missed = 0;
  for (size_t place = 0; place < places_.layers(); ++place) {
    // What is dense damages nothing.
    if (std::isfinite(costs_[place][boldest].microseconds)) {
      ASSIGN_OR_RETURN(costs_[place][boldest].damage, DamageAlone(place, boldest));
    }
    sum += costs_[place][boldest].damage;
    missed += missed_[place][boldest];
  }
  for (size_t place = 0; place < places_.layers(); ++place) {
    for (const size_t choice : family) {
      // In the proportion of what is missed; where the boldest misses nothing, by what all layers show.
      const double own = missed_[place][boldest];
      const double each = own > 0 ? costs_[place][boldest].damage / own : (missed > 0 ? sum / missed : 0);
      costs_[place][choice].damage = choice == boldest ? costs_[place][boldest].damage : each * missed_[place][choice];
    }
  }
  for (const size_t choice : family) {
    MatchWhole(choice);
  }
  return absl::OkStatus();
}

/// Scales a choice's damages so that their sum is what all layers together were measured to do.
void ContractCosts::MatchWhole(size_t choice) {
  double sum = 0;
  for (const std::vector<ChoiceCost>& place : costs_) {
    sum += place[choice].damage;
  }
  for (std::vector<ChoiceCost>& place : costs_) {
    place[choice].damage *= sum > 0 ? divergences_[choice - 1] / sum : 0;
  }
}

absl::Status ContractCosts::Measure(double most, const OnCompared& on_compared) {
  RETURN_IF_ERROR(PriceCandidates(on_compared));
  for (const auto& [name, family] : Families()) {
    RETURN_IF_ERROR(IsForHeads(Candidate(family.front())) ? MeasureHeads(family, most) : MeasureNeurons(family));
  }
  return absl::OkStatus();
}

}  // namespace dejavu
