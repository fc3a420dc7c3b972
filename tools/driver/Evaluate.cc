#include "tools/driver/Evaluate.h"

#include <omp.h>

#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"
#include "ir/base/Status.h"
#include "runtime/engine/Session.h"
#include "tools/driver/Distribution.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/LaunchTimes.h"
#include "tools/driver/ProgressBar.h"
#include "tools/driver/Recall.h"

namespace dejavu {
namespace {

// A line that holds only the record separator.
constexpr std::string_view kDocumentEnd = "\n\x1e\n";
// Their launches' times are kept.
constexpr size_t kTimedTokens = 2048;

/// Adds up the scores of one pass over the text.
class Scorer {
 public:
  explicit Scorer(bool compares) : compares_(compares) {}

  /// One target, given the logits of the model and, if compared, of the reference.
  void Add(std::span<const float> logits, std::span<const float> reference, int32_t target) {
    const double log_sum = LogSumExp(logits);
    const double nll = log_sum - logits[static_cast<size_t>(target)];
    nll_ += nll;
    ++tokens_;
    if (!compares_) {
      return;
    }
    const double reference_log_sum = LogSumExp(reference);
    const double reference_nll = reference_log_sum - reference[static_cast<size_t>(target)];
    reference_nll_ += reference_nll;
    window_difference_ += nll - reference_nll;
    divergences_.push_back(Divergence(reference, reference_log_sum, logits, log_sum));
    agreements_ += ArgMax(logits) == ArgMax(reference) ? 1 : 0;
  }

  /// A window of `tokens` targets is complete.
  void EndWindow(int64_t tokens) {
    differences_.push_back(window_difference_ / static_cast<double>(tokens));
    window_difference_ = 0;
    if (compares_) {
      const double sum = std::accumulate(divergences_.end() - tokens, divergences_.end(), 0.0);
      divergence_means_.push_back(sum / static_cast<double>(tokens));
    }
  }

  [[nodiscard]] double MeanNll() const { return nll_ / static_cast<double>(tokens_); }
  [[nodiscard]] int64_t tokens() const { return tokens_; }

  [[nodiscard]] std::optional<Comparison> Compared() const {
    if (!compares_) {
      return std::nullopt;
    }
    const auto count = static_cast<double>(tokens_);
    double sum = 0;
    for (const double divergence : divergences_) {
      sum += divergence;
    }
    std::optional<Interval> ratio = MeanInterval(differences_);
    if (ratio.has_value()) {
      ratio = Interval{std::exp(ratio->value), std::exp(ratio->low), std::exp(ratio->high)};
    }
    return Comparison{.ppl = std::exp(reference_nll_ / count),
                      .ppl_ratio = std::exp((nll_ - reference_nll_) / count),
                      .ppl_ratio_interval = ratio,
                      .kl_mean = sum / count,
                      .kl_interval = MeanInterval(divergence_means_),
                      .kl_p99 = Percentile(divergences_, 0.99),
                      .top1_agreement = static_cast<double>(agreements_) / count};
  }

 private:
  bool compares_;
  int64_t tokens_ = 0;
  double nll_ = 0;
  double reference_nll_ = 0;
  double window_difference_ = 0;     // of the model's and the reference's likelihoods, summed up
  std::vector<double> differences_;  // their means by window
  int64_t agreements_ = 0;
  std::vector<double> divergences_;
  std::vector<double> divergence_means_;  // by window
};

/// Watches the neurons of the model and of the reference, if there is one.
class ActivityCounter {
 public:
  [[nodiscard]] static absl::StatusOr<ActivityCounter> Create(Session& model, Session* reference) {
    const ModelInfo& info = model.model().info();
    ActivityCounter counter(info.ffn, static_cast<size_t>(info.layers));
    ASSIGN_OR_RETURN(counter.model_, NeuronWatch::Create(model));
    if (reference != nullptr && reference->model().info().ffn == info.ffn &&
        reference->model().info().layers == info.layers) {
      ASSIGN_OR_RETURN(counter.reference_, NeuronWatch::Create(*reference));
    }
    return counter;
  }

  /// The token that both have just decoded.
  void Add() {
    for (size_t layer = 0; layer < counts_.size(); ++layer) {
      const LayerNeurons neurons = model_->Layer(layer);
      counts_[layer].Add(neurons, ffn_);
      if (reference_.has_value()) {
        counts_[layer].AddReference(neurons, reference_->Layer(layer), ffn_);
      }
    }
  }

  void Report(Evaluation& result) const {
    for (const RecallCounts& counts : counts_) {
      const auto all = static_cast<double>(counts.tokens * ffn_);
      result.mlp_activity.push_back(static_cast<double>(counts.own_active) / all);
      if (reference_.has_value() && result.against.has_value()) {
        result.against->mlp_activity.push_back(static_cast<double>(counts.active) / all);
        result.against->mlp_recall.push_back(counts.Recall());
        result.against->mlp_recall_mass.push_back(counts.MassRecall());
        result.against->mlp_precision.push_back(counts.Precision());
        result.against->mlp_missed.push_back(counts.MissedSquares());
      }
    }
  }

 private:
  ActivityCounter(int64_t ffn, size_t layers) : ffn_(ffn), counts_(layers) {}

  int64_t ffn_;
  std::vector<RecallCounts> counts_;
  std::optional<NeuronWatch> model_;
  std::optional<NeuronWatch> reference_;
};

absl::StatusOr<int64_t> CountWindows(int64_t ids, int64_t positions, int64_t max_tokens) {
  if (ids < positions + 1) {
    return UserError("the text has ", ids, " tokens, but one window of the model's ", positions, " positions needs ",
                     positions + 1, "; evaluate on a longer text");
  }
  const int64_t windows = (ids - 1) / positions;
  if (max_tokens == 0) {
    return windows;
  }
  if (max_tokens < positions) {
    return UserError("--max-tokens=", max_tokens, " is less than one window, which has the model's ", positions,
                     " positions");
  }
  return std::min(windows, max_tokens / positions);
}

/// Targets are looked up in the logits, so all are checked before the first token.
absl::Status CheckIds(std::span<const int32_t> ids, const Model& model) {
  const int64_t vocab = model.info().vocab;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab) {
      return UserError("the text has the token id ", id, ", but ", model.artifact().path(), " knows 0 to ", vocab - 1,
                       "; is the tokenizer another model's?");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckComparable(const Model& model, const Model& reference) {
  const ModelInfo& a = model.info();
  const ModelInfo& b = reference.info();
  if (a.vocab != b.vocab || a.positions != b.positions) {
    return UserError(reference.artifact().path(), ": has ", b.vocab, " token ids and ", b.positions, " positions, but ",
                     model.artifact().path(), " has ", a.vocab, " and ", a.positions,
                     "; only versions of the same model can be compared");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int32_t>> EncodeDocuments(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int32_t> ids;
  while (true) {
    const size_t end = text.find(kDocumentEnd);
    ASSIGN_OR_RETURN(const std::vector<int32_t> document, tokenizer.EncodePrompt(text.substr(0, end)));
    ids.insert(ids.end(), document.begin(), document.end());
    if (end == std::string_view::npos) {
      return ids;
    }
    text.remove_prefix(end + kDocumentEnd.size());
  }
}

absl::StatusOr<Evaluation> Evaluate(const std::shared_ptr<const Model>& model,
                                    const std::shared_ptr<const Model>& reference, std::span<const int32_t> ids,
                                    const EvaluateOptions& options) {
  const int64_t positions = model->info().positions;
  ASSIGN_OR_RETURN(const int64_t windows,
                   CountWindows(static_cast<int64_t>(ids.size()), positions, options.max_tokens));
  RETURN_IF_ERROR(CheckIds(ids, *model));
  ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                   Session::Create(model, {.threads = options.threads, .statistics = true}));
  std::unique_ptr<Session> other;
  if (reference != nullptr) {
    RETURN_IF_ERROR(CheckComparable(*model, *reference));
    ASSIGN_OR_RETURN(other, Session::Create(reference, {.threads = options.threads, .statistics = true}));
  }
  // The scoring loops use as many threads as the sessions: teams that change their size between calls are slow.
  omp_set_num_threads(session->threads());
  ASSIGN_OR_RETURN(ActivityCounter activity, ActivityCounter::Create(*session, other.get()));
  Scorer scorer(reference != nullptr);
  LaunchTimes times(session->statistics(), kTimedTokens);
  std::optional<LaunchTimes> other_times;
  if (other != nullptr) {
    other_times.emplace(other->statistics(), kTimedTokens);
  }
  ProgressBar bar(options.label);
  for (int64_t window = 0; window < windows; ++window) {
    session->Reset();
    if (other != nullptr) {
      other->Reset();
    }
    for (int64_t i = window * positions; i < (window + 1) * positions; ++i) {
      const int32_t token = ids[static_cast<size_t>(i)];
      ASSIGN_OR_RETURN(const std::span<const float> logits, session->Decode(token));
      std::span<const float> reference_logits;
      if (other != nullptr) {
        ASSIGN_OR_RETURN(reference_logits, other->Decode(token));
        other_times->AddStep();
      }
      times.AddStep();
      activity.Add();
      scorer.Add(logits, reference_logits, ids[static_cast<size_t>(i + 1)]);
      if (!std::isfinite(scorer.MeanNll())) {
        return UserError("the logits after token ", scorer.tokens(), " give no probability: the weights of ",
                         model->artifact().path(), " are damaged or its numbers overflow");
      }
      bar.Update(scorer.tokens(), windows * positions, absl::StrFormat("perplexity %.3f", std::exp(scorer.MeanNll())));
      RETURN_IF_ERROR(InterruptStatus());
    }
    scorer.EndWindow(positions);
  }
  const Statistics& statistics = session->statistics();
  Evaluation result;
  result.nll = scorer.MeanNll();
  result.ppl = std::exp(result.nll);
  result.tokens = scorer.tokens();
  result.windows = windows;
  result.mlp_density = statistics.MlpDensity();
  result.head_density = statistics.HeadDensity();
  result.bytes_per_token = statistics.BytesPerToken();
  result.predictor_bytes_per_token = statistics.PredictorBytesPerToken();
  result.costs = CostsByLayer(model->plan(), model->info(), statistics, times.Medians());
  result.against = scorer.Compared();
  if (result.against.has_value()) {
    result.against->costs =
        CostsByLayer(reference->plan(), reference->info(), other->statistics(), other_times->Medians());
    result.against->bytes_per_token = other->statistics().BytesPerToken();
  }
  activity.Report(result);
  return result;
}

}  // namespace dejavu
