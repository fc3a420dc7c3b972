#include "tools/driver/Contract.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <map>
#include <numeric>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ir/base/Status.h"
#include "tools/driver/ContractCosts.h"
#include "tools/driver/ContractJudge.h"

namespace dejavu {
namespace {

using ModelPointer = std::shared_ptr<const Model>;

constexpr size_t kBlamed = 5;
constexpr int kUsualTries = 5;
// What is chosen by few windows aims at this share of a bound, and is content with so much of it.
constexpr double kAim = 0.9;
constexpr double kContent = 0.6;

/// The first of the walk's steps after which the damage is at most `most`, or the last.
size_t FirstStepBelow(const std::vector<std::vector<ChoiceCost>>& costs, const AllocationWalk& walk, double most) {
  size_t step = 0;
  while (step < walk.steps.size() && TotalOf(costs, walk.After(step)).damage > most) {
    ++step;
  }
  return step;
}

class Negotiator {
 public:
  Negotiator(const ContractBounds& bounds, const ContractBuild& build, ContractJudge& judge)
      : bounds_(bounds), build_(build), judge_(judge), costs_(build, judge) {}

  absl::StatusOr<ContractOutcome> Run() {
    outcome_.text_hash = judge_.text_hash();
    if (build_.candidates.size() == 1) {
      RETURN_IF_ERROR(Judge(std::vector<size_t>(places().count(), 1)));
      if (outcome_.holds() || build_.fixed) {
        return outcome_.holds() ? Finish() : Broken();
      }
    }
    std::cerr << "choosing among " << build_.candidates.size() << (build_.candidates.size() == 1 ? " way" : " ways")
              << " to predict and dense for " << places().layers() << " layers\n";
    RETURN_IF_ERROR(costs_.Measure(FirstGuess(), [&](const std::string& name, const Evaluation& result, double scale) {
      Record(name, result, scale, /*held_out=*/false);
    }));
    walk_ = PlanWalk(costs_.by_place());
    ASSIGN_OR_RETURN(size_t step, ChooseStep());
    while (step < walk_.steps.size()) {
      RETURN_IF_ERROR(Judge(walk_.After(step)));
      if (outcome_.holds()) {
        return Finish();
      }
      step = SaferStep(step);
    }
    outcome_.bytes_per_token = outcome_.dense_bytes_per_token = costs_.dense_bytes();
    for (size_t layer = 0; layer < places().layers(); ++layer) {
      outcome_.dense_layers.push_back(static_cast<int64_t>(layer));
    }
    return NothingSaved();
  }

 private:
  [[nodiscard]] const ContractPlaces& places() const { return costs_.places(); }
  [[nodiscard]] const std::string& Candidate(size_t choice) const { return build_.candidates[choice - 1]; }

  void Record(const std::string& name, const Evaluation& result, double scale, bool held_out) {
    outcome_.tried.push_back({name, result.against->ppl_ratio - 1, result.against->kl_mean, result.bytes_per_token,
                              TotalCost(result.costs).microseconds * scale, held_out});
    const TriedArtifact& tried = outcome_.tried.back();
    std::cerr << absl::StreamFormat("%-24s divergence %.2e nats, perplexity %+.3f%%, %.2f MB and %.3f ms per token%s\n",
                                    name, tried.kl, tried.ppl_increase * 100, tried.bytes_per_token / 1e6,
                                    tried.microseconds / 1e3, held_out ? ", held-out text" : "");
  }

  [[nodiscard]] double PredictedDamage(size_t step) const {
    return TotalOf(costs_.by_place(), walk_.After(step)).damage;
  }

  /// How much of its bound the worst term takes up on the text to choose by.
  absl::StatusOr<double> Used(const std::vector<size_t>& choices) {
    ASSIGN_OR_RETURN(const ModelPointer model, judge_.Load(choices));
    ASSIGN_OR_RETURN(const Evaluation result, judge_.Compare(model, TextPart::kChoosing, "trying an allocation"));
    Record("allocation", result, judge_.TimeScale(result), /*held_out=*/false);
    double used = 0;
    for (const ContractTerm& term : judge_.TextTerms(*result.against)) {
      used = std::max(used, term.measured.value / term.bound);
    }
    // Few windows say little about a perplexity; the divergence is surer, and half of it is what usually comes of it.
    if (bounds_.max_ppl_increase) {
      used = std::max(used, result.against->kl_mean / 2 / *bounds_.max_ppl_increase);
    }
    if (used > kAim) {
      return used;
    }
    ASSIGN_OR_RETURN(const std::optional<ContractTerm> icl, judge_.IclTerm(model, /*judges=*/false));
    return icl ? std::max(used, icl->measured.value / icl->bound) : used;
  }

  /// The divergence that the bounds are thought to allow, before anything but candidates was measured.
  [[nodiscard]] double FirstGuess() const {
    // A perplexity rises by less than the divergence, as a model is not sure of its text.
    double most = 2 * bounds_.max_ppl_increase.value_or(kSmallDivergence);
    return kAim * std::min(most, bounds_.max_kl.value_or(most));
  }

  /// Searches the walk for the first step after which the bounds hold on the text to choose by.
  absl::StatusOr<size_t> ChooseStep() {
    size_t first = 0;  // All before it break a bound.
    size_t holds = walk_.steps.size();
    double target = FirstGuess();
    for (int tries = 0; first < holds && (tries < kUsualTries || holds == walk_.steps.size()); ++tries) {
      const size_t step = std::clamp(FirstStepBelow(costs_.by_place(), walk_, target), first, holds - 1);
      ASSIGN_OR_RETURN(const double used, Used(walk_.After(step)));
      if (used <= kAim) {
        holds = step;
        if (used >= kContent) {
          break;
        }
      } else {
        first = step + 1;
      }
      target = PredictedDamage(step) * std::clamp(kAim / std::max(used, 1e-3), 0.1, used > kAim ? 0.8 : 5.0);
    }
    return holds;
  }

  /// A later step whose damage should be small enough, by what broke at `step`.
  [[nodiscard]] size_t SaferStep(size_t step) const {
    double excess = 1;
    for (const ContractTerm& term : outcome_.terms) {
      excess = std::max(excess, term.measured.high / term.bound);
    }
    return std::max(step + 1, FirstStepBelow(costs_.by_place(), walk_, PredictedDamage(step) * kAim / excess));
  }

  /// Compares on what judges, and fills in the outcome.
  absl::Status Judge(const std::vector<size_t>& choices) {
    ASSIGN_OR_RETURN(const ModelPointer model, judge_.Load(choices));
    const TextPart part = judge_.has_text() ? TextPart::kHeldOut : TextPart::kChoosing;
    ASSIGN_OR_RETURN(const Evaluation result, judge_.Compare(model, part, "checking the contract"));
    outcome_.terms = judge_.TextTerms(*result.against);
    // The tasks take longest, and are for what is good enough otherwise; who asks for blame wants all of it.
    if (outcome_.holds() || build_.fixed) {
      ASSIGN_OR_RETURN(const std::optional<ContractTerm> icl, judge_.IclTerm(model, /*judges=*/true));
      if (icl) {
        outcome_.terms.push_back(*icl);
      }
    }
    Fill(choices, result);
    return absl::OkStatus();
  }

  void Fill(const std::vector<size_t>& choices, const Evaluation& result) {
    const double scale = judge_.TimeScale(result);
    const Comparison& against = *result.against;
    outcome_.choices = choices;
    outcome_.bytes_per_token = result.bytes_per_token;
    outcome_.dense_bytes_per_token = against.bytes_per_token;
    outcome_.microseconds = TotalCost(result.costs).microseconds * scale;
    outcome_.dense_microseconds = TotalCost(against.costs).microseconds * scale;
    if (judge_.has_text()) {
      outcome_.tokens = result.tokens;
      outcome_.ppl = result.ppl;
      outcome_.dense_ppl = against.ppl;
    }
    outcome_.dense_layers.clear();
    outcome_.layers.clear();
    for (size_t layer = 0; layer < places().layers(); ++layer) {
      if (choices[layer] == 0 && (!places().has_heads() || choices[places().layers() + layer] == 0)) {
        outcome_.dense_layers.push_back(static_cast<int64_t>(layer));
      }
      if (!costs_.by_place().empty()) {
        outcome_.layers.push_back(
            Allocated(layer, choices, result.costs.layers[layer], against.costs.layers[layer], scale));
      }
    }
    if (!costs_.by_place().empty()) {
      outcome_.choosing_tokens = judge_.choosing_tokens();
      Record("allocation", result, scale, judge_.has_text());
    }
  }

  [[nodiscard]] AllocatedLayer Allocated(size_t layer, const std::vector<size_t>& choices, const LayerCosts& costs,
                                         const LayerCosts& dense, double scale) const {
    const auto bytes = [](const LayerCosts& of) { return of.attention.bytes + of.mlp.bytes + of.predictors.bytes; };
    const auto time = [&](const LayerCosts& of) {
      return ((costs_.with_attention() || places().has_heads() ? of.attention.microseconds : 0) + of.mlp.microseconds +
              of.predictors.microseconds) *
             scale;
    };
    const auto name = [&](size_t choice) { return choice == 0 ? "dense" : Candidate(choice); };
    ChoiceCost cost = costs_.by_place()[layer][choices[layer]];
    if (places().has_heads()) {
      const ChoiceCost& of_heads = costs_.by_place()[places().layers() + layer][choices[places().layers() + layer]];
      cost = {cost.microseconds + of_heads.microseconds, cost.damage + of_heads.damage};
    }
    return {.choice = name(choices[layer]),
            .heads = places().has_heads() ? name(choices[places().layers() + layer]) : "",
            .damage = cost.damage,
            .predicted_microseconds = cost.microseconds,
            .microseconds = time(costs),
            .dense_microseconds = time(dense),
            .bytes = bytes(costs),
            .dense_bytes = bytes(dense)};
  }

  absl::StatusOr<ContractOutcome> Finish() const {
    // Lists can make layers dearer than dense ones, too.
    return outcome_.bytes_per_token < outcome_.dense_bytes_per_token ? absl::StatusOr<ContractOutcome>(outcome_)
                                                                     : NothingSaved();
  }

  absl::Status Broken() {
    std::vector<std::pair<double, size_t>> damages;
    double sum = 0;
    for (size_t layer = 0; layer < places().layers(); ++layer) {
      ASSIGN_OR_RETURN(const double damage, costs_.DamageAlone(layer, 1));
      damages.emplace_back(damage, layer);
      sum += damage;
    }
    std::stable_sort(damages.begin(), damages.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::string> blamed;
    for (size_t i = 0; i < std::min(damages.size(), kBlamed); ++i) {
      blamed.push_back(absl::StrFormat("%d (%.0f%% of the divergence)", damages[i].second,
                                       damages[i].first / std::max(sum, 1e-30) * 100));
    }
    std::string terms;
    for (const ContractTerm& term : outcome_.terms) {
      if (!term.holds()) {
        absl::StrAppendFormat(&terms, "--%s=%g: %s is %.4g, up to %.4g with 95%% confidence; ", term.name, term.bound,
                              term.what, term.measured.value, term.measured.high);
      }
    }
    return UserError("the contract is broken: ", terms,
                     "given densities are never changed. Layers to blame: ", absl::StrJoin(blamed, ", "));
  }

  [[nodiscard]] absl::Status NothingSaved() const {
    return UserError("the contract leaves nothing to save: it needs ", outcome_.dense_layers.size(), " of ",
                     places().layers(), " layers dense, and a token would read ",
                     absl::StrFormat("%.3f MB, the dense model %.3f MB", outcome_.bytes_per_token / 1e6,
                                     outcome_.dense_bytes_per_token / 1e6),
                     "; loosen the bounds or give better predictors");
  }

  const ContractBounds& bounds_;
  const ContractBuild& build_;
  ContractJudge& judge_;
  ContractCosts costs_;
  ContractOutcome outcome_;
  AllocationWalk walk_;
};

}  // namespace

bool ContractOutcome::holds() const {
  return std::all_of(terms.begin(), terms.end(), [](const ContractTerm& term) { return term.holds(); });
}

absl::StatusOr<ContractOutcome> MeetContract(const ContractBounds& bounds, ContractBuild& build) {
  ASSIGN_OR_RETURN(ContractJudge judge, ContractJudge::Create(bounds, build, /*choosing=*/!build.fixed));
  return Negotiator(bounds, build, judge).Run();
}

}  // namespace dejavu
