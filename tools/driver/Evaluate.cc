#include "tools/driver/Evaluate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ir/base/Status.h"
#include "tools/driver/Jobs.h"
#include "tools/driver/WindowDecoder.h"
#include "tools/driver/WindowScores.h"

namespace dejavu {
namespace {

// A line that holds only the record separator.
constexpr std::string_view kDocumentEnd = "\n\x1e\n";
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

/// Whether neurons and heads of the same number are the same.
bool HasSameLayers(const ModelInfo& a, const ModelInfo& b) {
  return a.layers == b.layers && a.ffn == b.ffn && a.heads == b.heads && a.hidden == b.hidden;
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

/// `result.against` must be there if the scores compare layers.
void ReportLayers(std::span<const WindowScores> scores, int64_t ffn, bool compares, Evaluation& result) {
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
  for (const HeadCounts& counts : AddHeads(scores)) {
    result.against->head_recall.push_back(counts.Recall());
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
  ReportLayers(scores, first.session().model().info().ffn, !scores[0].heads.empty(), result);
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
  ASSIGN_OR_RETURN(const JobShare share, ShareJobs(options.threads, options.jobs, windows));
  WindowModels models = {.model = model, .reference = reference};
  if (reference != nullptr) {
    RETURN_IF_ERROR(CheckComparable(*model, *reference));
    if (HasSameLayers(model->info(), reference->info())) {
      ASSIGN_OR_RETURN(models.energies, HeadEnergies::Create(*reference, model.get(), share.threads * share.jobs));
    }
  }
  std::vector<WindowScores> scores(static_cast<size_t>(windows));
  WindowProgress progress(options.label, windows * positions);
  std::vector<std::unique_ptr<WindowDecoder>> decoders;
  std::vector<Worker> workers;
  for (int job = 0; job < share.jobs; ++job) {
    absl::StatusOr<std::unique_ptr<WindowDecoder>> created =
        WindowDecoder::Create(models, share.threads, options.jobs == 1);
    RETURN_IF_ERROR(JobStatus(created.status(), job, share));
    std::unique_ptr<WindowDecoder> decoder = *std::move(created);
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
