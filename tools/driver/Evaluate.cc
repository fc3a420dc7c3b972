#include "tools/driver/Evaluate.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include "absl/strings/str_format.h"
#include "ir/base/Status.h"
#include "runtime/engine/Session.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/Jobs.h"
#include "tools/driver/LaunchTimes.h"
#include "tools/driver/ProgressBar.h"
#include "tools/driver/Recall.h"
#include "tools/driver/WindowScores.h"

namespace dejavu {
namespace {

// A line that holds only the record separator.
constexpr std::string_view kDocumentEnd = "\n\x1e\n";
// Their launches' times are kept.
constexpr size_t kTimedTokens = 2048;

/// Shows how far all windows are, and the perplexity so far. For any thread.
class Progress {
 public:
  Progress(const std::string& label, int64_t total) : bar_(label), total_(total) {}

  void Add(double nll) {
    const std::lock_guard lock(mutex_);
    nll_ += nll;
    ++tokens_;
    bar_.Update(tokens_, total_, absl::StrFormat("perplexity %.3f", std::exp(nll_ / static_cast<double>(tokens_))));
  }

 private:
  std::mutex mutex_;
  ProgressBar bar_;
  int64_t total_;
  int64_t tokens_ = 0;
  double nll_ = 0;
};

/// Decodes windows with a session of the model, and one of the reference if there is one, in step.
class WindowDecoder {
 public:
  /// `timed`: whether the launches' times are kept.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<WindowDecoder>> Create(
      const std::shared_ptr<const Model>& model, const std::shared_ptr<const Model>& reference, int threads,
      bool timed) {
    std::unique_ptr<WindowDecoder> decoder(new WindowDecoder);
    const SessionOptions options = {.threads = threads, .statistics = true, .times = timed};
    ASSIGN_OR_RETURN(decoder->session_, Session::Create(model, options));
    ASSIGN_OR_RETURN(decoder->watch_, NeuronWatch::Create(*decoder->session_));
    if (reference != nullptr) {
      ASSIGN_OR_RETURN(decoder->other_, Session::Create(reference, options));
      if (reference->info().ffn == model->info().ffn && reference->info().layers == model->info().layers) {
        ASSIGN_OR_RETURN(decoder->other_watch_, NeuronWatch::Create(*decoder->other_));
      }
    }
    if (timed) {
      decoder->times_.emplace(decoder->session_->statistics(), kTimedTokens);
      if (reference != nullptr) {
        decoder->other_times_.emplace(decoder->other_->statistics(), kTimedTokens);
      }
    }
    return decoder;
  }

  /// The window whose first input is `ids[0]` and whose last target is the last of `ids`.
  absl::Status Decode(std::span<const int32_t> ids, int64_t tokens_before, WindowScores& scores, Progress& progress) {
    // The scoring loops use as many threads as the sessions: teams that change their size between calls are slow.
    omp_set_num_threads(session_->threads());
    session_->Reset();
    if (other_ != nullptr) {
      other_->Reset();
    }
    scores.neurons.resize(static_cast<size_t>(session_->model().info().layers));
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      ASSIGN_OR_RETURN(const std::span<const float> logits, session_->Decode(ids[i]));
      std::span<const float> reference_logits;
      if (other_ != nullptr) {
        ASSIGN_OR_RETURN(reference_logits, other_->Decode(ids[i]));
      }
      AddTimes();
      AddNeurons(scores.neurons);
      const double nll = scores.Add(logits, reference_logits, ids[i + 1]);
      if (!std::isfinite(scores.nll)) {
        return UserError("the logits after token ", tokens_before + scores.tokens,
                         " give no probability: the weights of ", session_->model().artifact().path(),
                         " are damaged or its numbers overflow");
      }
      progress.Add(nll);
      RETURN_IF_ERROR(InterruptStatus());
    }
    return absl::OkStatus();
  }

  [[nodiscard]] bool compares_neurons() const { return other_watch_.has_value(); }
  [[nodiscard]] const Session& session() const { return *session_; }
  [[nodiscard]] const Session* other() const { return other_.get(); }
  [[nodiscard]] const std::optional<LaunchTimes>& times() const { return times_; }
  [[nodiscard]] const std::optional<LaunchTimes>& other_times() const { return other_times_; }

 private:
  WindowDecoder() = default;

  void AddTimes() {
    for (std::optional<LaunchTimes>* times : {&times_, &other_times_}) {
      if (times->has_value()) {
        (*times)->AddStep();
      }
    }
  }

  /// Those of the token that both have just decoded.
  void AddNeurons(std::vector<RecallCounts>& layers) const {
    const int64_t ffn = session_->model().info().ffn;
    for (size_t layer = 0; layer < layers.size(); ++layer) {
      const LayerNeurons neurons = watch_->Layer(layer);
      layers[layer].Add(neurons, ffn);
      if (other_watch_.has_value()) {
        layers[layer].AddReference(neurons, other_watch_->Layer(layer), ffn);
      }
    }
  }

  std::unique_ptr<Session> session_;
  std::unique_ptr<Session> other_;
  std::optional<NeuronWatch> watch_;
  std::optional<NeuronWatch> other_watch_;
  std::optional<LaunchTimes> times_;
  std::optional<LaunchTimes> other_times_;
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

using Decoders = std::span<const std::unique_ptr<WindowDecoder>>;

/// Of the sessions of all jobs.
Statistics SumStatistics(Decoders decoders, const Session& (*session)(const WindowDecoder&)) {
  Statistics sum = session(*decoders[0]).statistics();
  for (const std::unique_ptr<WindowDecoder>& decoder : decoders.subspan(1)) {
    sum.Add(session(*decoder).statistics());
  }
  return sum;
}

TokenCosts CostsOf(const Session& session, const Statistics& statistics, const std::optional<LaunchTimes>& times) {
  const std::vector<double> medians =
      times.has_value() ? times->Medians() : std::vector<double>(statistics.launches().size(), 0.0);
  return CostsByLayer(session.model().plan(), session.model().info(), statistics, medians);
}

void ReportNeurons(std::span<const WindowScores> scores, int64_t ffn, bool compares, Evaluation& result) {
  for (const RecallCounts& counts : AddNeurons(scores)) {
    const auto all = static_cast<double>(counts.tokens * ffn);
    result.mlp_activity.push_back(static_cast<double>(counts.own_active) / all);
    if (compares) {
      result.against->mlp_activity.push_back(static_cast<double>(counts.active) / all);
      result.against->mlp_recall.push_back(counts.Recall());
      result.against->mlp_recall_mass.push_back(counts.MassRecall());
      result.against->mlp_precision.push_back(counts.Precision());
      result.against->mlp_missed.push_back(counts.MissedSquares());
    }
  }
}

Evaluation Summarize(std::span<const WindowScores> scores, Decoders decoders) {
  const WindowDecoder& first = *decoders[0];
  const Statistics statistics =
      SumStatistics(decoders, [](const WindowDecoder& decoder) -> const Session& { return decoder.session(); });
  Evaluation result;
  result.nll = MeanNll(scores);
  result.ppl = std::exp(result.nll);
  result.tokens = statistics.tokens();
  result.windows = static_cast<int64_t>(scores.size());
  result.mlp_density = statistics.MlpDensity();
  result.head_density = statistics.HeadDensity();
  result.bytes_per_token = statistics.BytesPerToken();
  result.predictor_bytes_per_token = statistics.PredictorBytesPerToken();
  result.timed = first.times().has_value();
  result.costs = CostsOf(first.session(), statistics, first.times());
  if (first.other() != nullptr) {
    const Statistics others =
        SumStatistics(decoders, [](const WindowDecoder& decoder) -> const Session& { return *decoder.other(); });
    result.against = CompareLogits(scores);
    result.against->costs = CostsOf(*first.other(), others, first.other_times());
    result.against->bytes_per_token = others.BytesPerToken();
  }
  ReportNeurons(scores, first.session().model().info().ffn, first.compares_neurons(), result);
  return result;
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
  if (reference != nullptr) {
    RETURN_IF_ERROR(CheckComparable(*model, *reference));
  }
  const int jobs = static_cast<int>(std::min<int64_t>(options.jobs, windows));
  ASSIGN_OR_RETURN(const int threads, ThreadsOfJob(options.threads, jobs));
  std::vector<WindowScores> scores(static_cast<size_t>(windows));
  Progress progress(options.label, windows * positions);
  std::vector<std::unique_ptr<WindowDecoder>> decoders;
  std::vector<Worker> workers;
  for (int job = 0; job < jobs; ++job) {
    ASSIGN_OR_RETURN(std::unique_ptr<WindowDecoder> decoder,
                     WindowDecoder::Create(model, reference, threads, options.jobs == 1));
    workers.emplace_back([&, decoder = decoder.get()](int64_t window) {
      const int64_t first = window * positions;
      return decoder->Decode(ids.subspan(static_cast<size_t>(first), static_cast<size_t>(positions + 1)), first,
                             scores[static_cast<size_t>(window)], progress);
    });
    decoders.push_back(std::move(decoder));
  }
  RETURN_IF_ERROR(RunJobs(workers, windows));
  return Summarize(scores, decoders);
}

}  // namespace dejavu
