#include "tools/driver/Contract.h"

#include <algorithm>
#include <iostream>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/Status.h"
#include "tools/driver/CommandLine.h"
#include "tools/driver/Evaluate.h"
#include "tools/driver/Icl.h"
#include "tools/driver/IclTasks.h"

namespace dejavu {
namespace {

constexpr int64_t kSampleWindows = 2;
constexpr size_t kBlamed = 5;

using ModelPointer = std::shared_ptr<const Model>;

/// What being sparse costs in a layer, as the share of the whole divergence that goes away if it is dense.
struct Damage {
  int64_t layer = 0;
  double share = 0;
};

/// A model beside the dense one.
struct Compared {
  Comparison against;
  int64_t tokens = 0;
  double bytes_per_token = 0;
};

class Negotiator {
 public:
  Negotiator(const ContractBounds& bounds, const ContractBuild& build) : bounds_(bounds), build_(build) {}

  absl::StatusOr<ContractOutcome> Run() {
    RETURN_IF_ERROR(Begin());
    RETURN_IF_ERROR(Measure());
    while (!outcome_.holds()) {
      ASSIGN_OR_RETURN(const std::vector<Damage> damages, Damages());
      if (build_.fixed) {
        return Broken(damages);
      }
      Demote(damages);
      if (static_cast<int64_t>(outcome_.dense_layers.size()) == build_.layers) {
        outcome_.bytes_per_token = outcome_.dense_bytes_per_token;
        return NothingSaved();
      }
      RETURN_IF_ERROR(Measure());
    }
    // Of layers that lists make dearer than dense ones, too.
    if (outcome_.bytes_per_token >= outcome_.dense_bytes_per_token) {
      return NothingSaved();
    }
    return outcome_;
  }

 private:
  absl::Status Begin() {
    ASSIGN_OR_RETURN(reference_, Load(std::nullopt));
    const int64_t positions = reference_->info().positions;
    if (bounds_.text.empty()) {
      return MakeSample(positions);
    }
    ASSIGN_OR_RETURN(const std::string text, ReadTextFile(bounds_.text));
    outcome_.text_hash = Hash64(text);
    ASSIGN_OR_RETURN(const Tokenizer tokenizer, LoadTokenizer(*reference_, ""));
    ASSIGN_OR_RETURN(ids_, EncodeDocuments(tokenizer, text));
    tokens_ = std::max(bounds_.tokens, 2 * positions);
    if (static_cast<int64_t>(ids_.size()) < 2 * positions + 1) {
      return UserError(bounds_.text, ": has ", ids_.size(),
                       " tokens, but a contract with an interval needs two windows, ", 2 * positions + 1,
                       " tokens; give a longer text");
    }
    return absl::OkStatus();
  }

  /// Without a text, layers are judged by the tasks' sequences.
  absl::Status MakeSample(int64_t positions) {
    const auto needed = static_cast<size_t>(kSampleWindows * positions + 1);
    ASSIGN_OR_RETURN(const std::vector<IclTask> tasks,
                     MakeIclTasks(reference_->info(), /*seed=*/2, static_cast<int64_t>(needed / 100) + 1));
    for (size_t i = 0; ids_.size() < needed; ++i) {
      const IclTask& task = tasks[i % tasks.size()];
      const std::vector<int32_t>& tokens = task.sequences[i / tasks.size() % task.sequences.size()].tokens;
      ids_.insert(ids_.end(), tokens.begin(), tokens.end());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ModelPointer> Load(const std::optional<std::vector<int64_t>>& dense_layers) const {
    ASSIGN_OR_RETURN(const std::string path, build_.compile(dense_layers));
    return LoadModel(path, {.device = build_.device, .threads = build_.threads});
  }

  /// Compares the model of the current layers with the dense one.
  absl::Status Measure() {
    ASSIGN_OR_RETURN(const ModelPointer model, Load(outcome_.dense_layers));
    outcome_.terms.clear();
    ASSIGN_OR_RETURN(const Compared text, Compare(model, bounds_.text.empty() ? 0 : tokens_, "checking the contract"));
    outcome_.bytes_per_token = text.bytes_per_token;
    outcome_.dense_bytes_per_token = text.against.bytes_per_token;
    if (!bounds_.text.empty()) {
      outcome_.tokens = text.tokens;
      AddTextTerms(text.against);
    }
    if (bounds_.max_icl_drop) {
      ASSIGN_OR_RETURN(const std::vector<IclResult> icl, ProbeIcl(model, reference_, {.threads = build_.threads}));
      const WorstDrop worst = FindWorstDrop(icl);
      outcome_.terms.push_back({"max-icl-drop", "fewer right answers, " + worst.task + ", " + worst.measure,
                                *bounds_.max_icl_drop, worst.drop});
    }
    return absl::OkStatus();
  }

  void AddTextTerms(const Comparison& against) {
    if (bounds_.max_ppl_increase) {
      const Interval& ratio = *against.ppl_ratio_interval;
      outcome_.terms.push_back({"max-ppl-increase",
                                "increase of the perplexity",
                                *bounds_.max_ppl_increase,
                                {ratio.value - 1, ratio.low - 1, ratio.high - 1}});
    }
    if (bounds_.max_kl) {
      outcome_.terms.push_back({"max-kl", "mean divergence, nats", *bounds_.max_kl, *against.kl_interval});
    }
  }

  absl::StatusOr<Compared> Compare(const ModelPointer& model, int64_t tokens, const std::string& label) const {
    ASSIGN_OR_RETURN(
        const Evaluation result,
        Evaluate(model, reference_, ids_, {.max_tokens = tokens, .threads = build_.threads, .label = label}));
    return Compared{result.against.value_or(Comparison()), result.tokens, result.bytes_per_token};
  }

  /// The divergence on the sample with one more layer dense, for each that is sparse; the worst layer first.
  absl::StatusOr<std::vector<Damage>> Damages() {
    const int64_t tokens = kSampleWindows * reference_->info().positions;
    ASSIGN_OR_RETURN(const ModelPointer all, Load(outcome_.dense_layers));
    ASSIGN_OR_RETURN(const Compared before, Compare(all, tokens, "measuring layers"));
    const double whole = std::max(before.against.kl_mean, 1e-30);
    std::vector<Damage> damages;
    for (int64_t layer = 0; layer < build_.layers; ++layer) {
      std::vector<int64_t> layers = outcome_.dense_layers;
      if (std::find(layers.begin(), layers.end(), layer) != layers.end()) {
        continue;
      }
      layers.push_back(layer);
      ASSIGN_OR_RETURN(const ModelPointer model, Load(layers));
      ASSIGN_OR_RETURN(const Compared after,
                       Compare(model, tokens, absl::StrCat("measuring layer ", layer, " of ", build_.layers)));
      damages.push_back({layer, (whole - after.against.kl_mean) / whole});
    }
    std::stable_sort(damages.begin(), damages.end(),
                     [](const Damage& a, const Damage& b) { return a.share > b.share; });
    return damages;
  }

  /// Makes as many layers dense as should do, if their damages add up; at least one.
  void Demote(const std::vector<Damage>& damages) {
    double excess = 0;
    for (const ContractTerm& term : outcome_.terms) {
      excess = std::max(excess, term.measured.high > 0 ? 1 - term.bound / term.measured.high : 0);
    }
    double gone = 0;
    for (const Damage& damage : damages) {
      outcome_.dense_layers.push_back(damage.layer);
      gone += std::max(damage.share, 0.0);
      if (gone >= excess) {
        break;
      }
    }
    std::sort(outcome_.dense_layers.begin(), outcome_.dense_layers.end());
    std::cerr << "the contract needs layers " << absl::StrJoin(outcome_.dense_layers, ", ") << " dense; checking\n";
  }

  absl::Status Broken(const std::vector<Damage>& damages) const {
    std::vector<std::string> blamed;
    for (size_t i = 0; i < std::min(damages.size(), kBlamed); ++i) {
      blamed.push_back(absl::StrFormat("%d (%.0f%% of the divergence)", damages[i].layer, damages[i].share * 100));
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

  absl::Status NothingSaved() const {
    return UserError("the contract leaves nothing to save: it needs ", outcome_.dense_layers.size(), " of ",
                     build_.layers, " layers dense, and a token would read ",
                     absl::StrFormat("%.3f MB, the dense model %.3f MB", outcome_.bytes_per_token / 1e6,
                                     outcome_.dense_bytes_per_token / 1e6),
                     "; loosen the bounds or give better predictors");
  }

  const ContractBounds& bounds_;
  const ContractBuild& build_;
  ContractOutcome outcome_;
  ModelPointer reference_;
  std::vector<int32_t> ids_;
  int64_t tokens_ = 0;
};

}  // namespace

bool ContractOutcome::holds() const {
  return std::all_of(terms.begin(), terms.end(), [](const ContractTerm& term) { return term.holds(); });
}

absl::StatusOr<ContractOutcome> MeetContract(const ContractBounds& bounds, const ContractBuild& build) {
  return Negotiator(bounds, build).Run();
}

nlohmann::json ContractJson(const ContractOutcome& outcome) {
  nlohmann::json json = {{"dense_layers", outcome.dense_layers},
                         {"bytes_per_token", outcome.bytes_per_token},
                         {"dense_bytes_per_token", outcome.dense_bytes_per_token}};
  for (const ContractTerm& term : outcome.terms) {
    json["terms"][term.name] = {{"bound", term.bound},
                                {"measured", term.measured.value},
                                {"interval", {term.measured.low, term.measured.high}},
                                {"what", term.what}};
  }
  if (outcome.text_hash) {
    json["text"] = {{"xxh3", HashText(*outcome.text_hash)}, {"tokens", outcome.tokens}};
  }
  return json;
}

std::string ContractTable(const ContractOutcome& outcome) {
  std::string out = absl::StrFormat("%-44s%12s%12s   %s\n", "contract", "bound", "measured", "95% interval");
  for (const ContractTerm& term : outcome.terms) {
    absl::StrAppendFormat(&out, "%-44s%12.5f%12.5f   %.5f to %.5f\n", term.what, term.bound, term.measured.value,
                          term.measured.low, term.measured.high);
  }
  absl::StrAppendFormat(&out, "%-44s%12.3f%12.3f\n", "MB per token, less than dense",
                        outcome.dense_bytes_per_token / 1e6, outcome.bytes_per_token / 1e6);
  absl::StrAppend(
      &out, "dense layers: ", outcome.dense_layers.empty() ? "none" : absl::StrJoin(outcome.dense_layers, ", "), "\n");
  return out;
}

}  // namespace dejavu
