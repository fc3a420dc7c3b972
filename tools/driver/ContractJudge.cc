#include "tools/driver/ContractJudge.h"

#include <algorithm>

#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/Status.h"
#include "tools/driver/CommandLine.h"
#include "tools/driver/Icl.h"
#include "tools/driver/IclTasks.h"

namespace dejavu {
namespace {

constexpr int64_t kSampleWindows = 2;  // without a text
constexpr int64_t kMostChoosingWindows = 4;
constexpr int64_t kChoosingShare = 6;      // one window in so many chooses
constexpr int64_t kChoosingSequences = 8;  // of each task

}  // namespace

absl::StatusOr<ContractJudge> ContractJudge::Create(const ContractBounds& bounds, const ContractBuild& build,
                                                    bool choosing) {
  ContractJudge judge(bounds, build);
  ASSIGN_OR_RETURN(judge.reference_, judge.Load({0}));
  judge.positions_ = judge.reference_->info().positions;
  RETURN_IF_ERROR(bounds.text.empty() ? judge.MakeSample() : judge.ReadText(choosing));
  return judge;
}

absl::Status ContractJudge::ReadText(bool choosing) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(bounds_.text));
  text_hash_ = Hash64(text);
  ASSIGN_OR_RETURN(const Tokenizer tokenizer, LoadTokenizer(*reference_, ""));
  ASSIGN_OR_RETURN(ids_, EncodeDocuments(tokenizer, text));
  const auto count = static_cast<int64_t>(ids_.size());
  const int64_t windows = (count - 1) / positions_;
  const int64_t least = choosing ? 3 : 2;
  if (windows < least) {
    return UserError(bounds_.text, ": has ", count, " tokens, but a contract with an interval needs ",
                     choosing ? "a window to choose predictors by and " : "", "two windows to judge by, ",
                     least * positions_ + 1, " tokens; give a longer text");
  }
  const int64_t judging = std::max<int64_t>(bounds_.tokens / positions_, 2);
  if (choosing) {
    // Of a long text as many windows choose as are of use; of a short one few, as judging needs them more.
    choosing_windows_ = std::clamp(windows / kChoosingShare, int64_t{1}, kMostChoosingWindows);
  }
  held_out_windows_ = std::min(judging, windows - choosing_windows_);
  return absl::OkStatus();
}

/// Without a text, layers are judged by the tasks' sequences, of other seeds than those of the probe.
absl::Status ContractJudge::MakeSample() {
  choosing_windows_ = kSampleWindows;
  const auto needed = static_cast<size_t>(kSampleWindows * positions_ + 1);
  ASSIGN_OR_RETURN(const std::vector<IclTask> tasks,
                   MakeIclTasks(reference_->info(), /*seed=*/2, static_cast<int64_t>(needed / 100) + 1));
  for (size_t i = 0; ids_.size() < needed; ++i) {
    const IclTask& task = tasks[i % tasks.size()];
    const std::vector<int32_t>& tokens = task.sequences[i / tasks.size() % task.sequences.size()].tokens;
    ids_.insert(ids_.end(), tokens.begin(), tokens.end());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const Model>> ContractJudge::Load(const std::vector<size_t>& choices) const {
  ASSIGN_OR_RETURN(const std::string path, build_.compile(choices));
  return LoadModel(path, {.device = build_.device, .threads = build_.threads});
}

absl::StatusOr<Evaluation> ContractJudge::Compare(const std::shared_ptr<const Model>& model, TextPart part,
                                                  const std::string& label) const {
  // A fixed build chooses nothing: what it is blamed for is seen on the text that judges.
  const bool held_out = part == TextPart::kHeldOut || choosing_windows_ == 0;
  const int64_t all = held_out ? held_out_windows_ : choosing_windows_;
  const int64_t windows = part == TextPart::kSample && has_text() ? 1 : all;
  const auto first = static_cast<size_t>(held_out ? choosing_windows_ * positions_ : 0);
  const std::span<const int32_t> ids = std::span(ids_).subspan(first);
  // Launches are timed where nothing else runs.
  const int jobs = build_.prices == Prices::kTime ? 1 : build_.jobs;
  return Evaluate(model, reference_, ids,
                  {.max_tokens = windows * positions_, .threads = build_.threads, .jobs = jobs, .label = label});
}

std::vector<ContractTerm> ContractJudge::TextTerms(const Comparison& against) const {
  std::vector<ContractTerm> terms;
  if (!has_text()) {
    return terms;
  }
  // One window has no interval.
  const Interval ratio =
      against.ppl_ratio_interval.value_or(Interval{against.ppl_ratio, against.ppl_ratio, against.ppl_ratio});
  const Interval kl = against.kl_interval.value_or(Interval{against.kl_mean, against.kl_mean, against.kl_mean});
  if (bounds_.max_ppl_increase) {
    terms.push_back({"max-ppl-increase",
                     "increase of the perplexity",
                     *bounds_.max_ppl_increase,
                     {ratio.value - 1, ratio.low - 1, ratio.high - 1}});
  }
  if (bounds_.max_kl) {
    terms.push_back({"max-kl", "mean divergence, nats", *bounds_.max_kl, kl});
  }
  return terms;
}

absl::StatusOr<std::optional<ContractTerm>> ContractJudge::IclTerm(const std::shared_ptr<const Model>& model,
                                                                   bool judges) const {
  if (!bounds_.max_icl_drop) {
    return std::nullopt;
  }
  IclOptions options = {.threads = build_.threads, .jobs = build_.jobs};
  if (!judges) {
    options.seed = 3;
    options.sequences = kChoosingSequences;
  }
  ASSIGN_OR_RETURN(const std::vector<IclResult> icl, ProbeIcl(model, reference_, options));
  const WorstDrop worst = FindWorstDrop(icl);
  return ContractTerm{"max-icl-drop", "fewer right answers, " + worst.task + ", " + worst.measure,
                      *bounds_.max_icl_drop, worst.drop};
}

double ContractJudge::TimeScale(const Evaluation& compared) {
  const double time = TotalCost(compared.against->costs).microseconds;
  first_dense_time_ = first_dense_time_ > 0 ? first_dense_time_ : time;
  return time > 0 ? first_dense_time_ / time : 1;
}

}  // namespace dejavu
