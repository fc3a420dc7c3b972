#include "tools/driver/Icl.h"

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ir/base/Status.h"
#include "runtime/engine/Session.h"
#include "tools/driver/Evaluate.h"
#include "tools/driver/IclTasks.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/ProgressBar.h"

namespace dejavu {
namespace {

constexpr std::array<int64_t, 6> kReportedShots = {0, 1, 2, 4, 8, 16};

/// Whether an answer is the likeliest of all ids, and of those in the sequence.
struct Right {
  bool accuracy = false;
  bool choice = false;
};

/// Right answers of one model, by sequence.
struct Counts {
  std::vector<Hits> accuracy;
  std::vector<Hits> choice;
};

/// One model's answers to a task, by the number of examples before; under -1 all.
using Answers = std::map<int64_t, Counts>;

/// Each answer of a sequence.
absl::StatusOr<std::vector<Right>> Decode(Session& session, const IclSequence& sequence) {
  std::vector<Right> right;
  session.Reset();
  // Nothing is asked after the last answer.
  for (int64_t i = 0; right.size() < sequence.answers.size(); ++i) {
    const int32_t token = sequence.tokens[static_cast<size_t>(i)];
    if (sequence.answers[right.size()].at != i + 1) {
      RETURN_IF_ERROR(session.Advance(token));
      continue;
    }
    ASSIGN_OR_RETURN(const std::span<const float> logits, session.Decode(token));
    const int32_t choice = LikeliestToken(logits);
    if (choice < 0) {
      return UserError("the logits of ", session.model().artifact().path(),
                       " give no choice: its weights are damaged or its numbers overflow");
    }
    const int32_t answer = sequence.tokens[static_cast<size_t>(i + 1)];
    const bool chosen = std::none_of(sequence.tokens.begin(), sequence.tokens.begin() + i + 1, [&](int32_t other) {
      return other != answer && logits[static_cast<size_t>(other)] >= logits[static_cast<size_t>(answer)];
    });
    right.push_back({choice == answer, chosen});
  }
  return right;
}

void Count(const IclSequence& sequence, const std::vector<Right>& right, size_t number, Answers& answers) {
  for (size_t i = 0; i < right.size(); ++i) {
    for (const int64_t shots : {int64_t{-1}, sequence.answers[i].shots}) {
      Counts& counts = answers[shots];
      for (const auto& [hits, is_right] :
           {std::pair(&counts.accuracy, right[i].accuracy), std::pair(&counts.choice, right[i].choice)}) {
        hits->resize(std::max(hits->size(), number + 1));
        hits->at(number).hits += is_right ? 1 : 0;
        hits->at(number).trials += 1;
      }
    }
  }
}

IclShares Shares(const std::vector<Hits>& model, const std::vector<Hits>* reference) {
  IclShares shares;
  shares.model = ShareInterval(model);
  if (reference != nullptr) {
    shares.reference = ShareInterval(*reference);
    shares.drop = DifferenceInterval(*reference, model);
  }
  return shares;
}

IclScore Score(int64_t shots, const Answers& model, const Answers* reference) {
  const Counts& counts = model.at(shots);
  const Counts* others = reference != nullptr ? &reference->at(shots) : nullptr;
  IclScore score;
  score.shots = shots;
  for (const Hits& hits : counts.accuracy) {
    score.trials += hits.trials;
  }
  score.accuracy = Shares(counts.accuracy, others != nullptr ? &others->accuracy : nullptr);
  score.choice = Shares(counts.choice, others != nullptr ? &others->choice : nullptr);
  return score;
}

}  // namespace

WorstDrop FindWorstDrop(const std::vector<IclResult>& results) {
  WorstDrop worst;
  for (const IclResult& result : results) {
    for (const auto& [measure, shares] :
         {std::pair("accuracy", &result.all.accuracy), std::pair("choice", &result.all.choice)}) {
      if (worst.task.empty() || shares->drop->high > worst.drop.high) {
        worst = {result.task, measure, *shares->drop};
      }
    }
  }
  return worst;
}

absl::StatusOr<std::vector<IclResult>> ProbeIcl(const std::shared_ptr<const Model>& model,
                                                const std::shared_ptr<const Model>& reference,
                                                const IclOptions& options) {
  ASSIGN_OR_RETURN(const std::vector<IclTask> tasks, MakeIclTasks(model->info(), options.seed, options.sequences));
  ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model, {.threads = options.threads}));
  std::unique_ptr<Session> other;
  if (reference != nullptr) {
    RETURN_IF_ERROR(CheckComparable(*model, *reference));
    ASSIGN_OR_RETURN(other, Session::Create(reference, {.threads = options.threads}));
  }
  std::vector<IclResult> results;
  ProgressBar bar("in-context learning");
  int64_t done = 0;
  for (const IclTask& task : tasks) {
    Answers answers;
    Answers reference_answers;
    for (size_t i = 0; i < task.sequences.size(); ++i) {
      ASSIGN_OR_RETURN(const std::vector<Right> right, Decode(*session, task.sequences[i]));
      Count(task.sequences[i], right, i, answers);
      RETURN_IF_ERROR(InterruptStatus());
      if (other != nullptr) {
        ASSIGN_OR_RETURN(const std::vector<Right> reference_right, Decode(*other, task.sequences[i]));
        Count(task.sequences[i], reference_right, i, reference_answers);
        RETURN_IF_ERROR(InterruptStatus());
      }
      bar.Update(++done, static_cast<int64_t>(tasks.size()) * options.sequences, std::string(task.name));
    }
    const Answers* against = other != nullptr ? &reference_answers : nullptr;
    IclResult result{std::string(task.name), std::string(task.what), Score(-1, answers, against), {}};
    for (const int64_t shots : kReportedShots) {
      if (task.has_shots && answers.contains(shots)) {
        result.by_shots.push_back(Score(shots, answers, against));
      }
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace dejavu
