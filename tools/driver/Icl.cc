#include "tools/driver/Icl.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ir/base/Status.h"
#include "runtime/engine/Session.h"
#include "tools/driver/Evaluate.h"
#include "tools/driver/IclTasks.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/Jobs.h"
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

/// What both models answered to a sequence.
struct Decoded {
  std::vector<Right> model;
  std::vector<Right> reference;
};

/// One for each sequence of each task.
absl::StatusOr<std::vector<Decoded>> DecodeAll(const std::shared_ptr<const Model>& model,
                                               const std::shared_ptr<const Model>& reference,
                                               const std::vector<IclTask>& tasks, const IclOptions& options) {
  std::vector<std::pair<const IclTask*, const IclSequence*>> sequences;
  for (const IclTask& task : tasks) {
    for (const IclSequence& sequence : task.sequences) {
      sequences.emplace_back(&task, &sequence);
    }
  }
  const auto count = static_cast<int64_t>(sequences.size());
  ASSIGN_OR_RETURN(const JobShare share, ShareJobs(options.threads, options.jobs, count));
  std::vector<Decoded> decoded(sequences.size());
  std::mutex mutex;
  ProgressBar bar("in-context learning");
  int64_t done = 0;
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<Worker> workers;
  for (int job = 0; job < share.jobs; ++job) {
    std::vector<Session*> both;
    for (const std::shared_ptr<const Model>& one : {model, reference}) {
      if (one == nullptr) {
        both.push_back(nullptr);
        continue;
      }
      absl::StatusOr<std::unique_ptr<Session>> created = Session::Create(one, {.threads = share.threads});
      RETURN_IF_ERROR(JobStatus(created.status(), job, share));
      sessions.push_back(*std::move(created));
      both.push_back(sessions.back().get());
    }
    workers.emplace_back([&, session = both[0], other = both[1]](int64_t item) -> absl::Status {
      const auto& [task, sequence] = sequences[static_cast<size_t>(item)];
      Decoded& answers = decoded[static_cast<size_t>(item)];
      ASSIGN_OR_RETURN(answers.model, Decode(*session, *sequence));
      RETURN_IF_ERROR(InterruptStatus());
      if (other != nullptr) {
        ASSIGN_OR_RETURN(answers.reference, Decode(*other, *sequence));
        RETURN_IF_ERROR(InterruptStatus());
      }
      const std::lock_guard lock(mutex);
      bar.Update(++done, count, std::string(task->name));
      return absl::OkStatus();
    });
  }
  RETURN_IF_ERROR(RunJobs(workers, count));
  return decoded;
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
  if (reference != nullptr) {
    RETURN_IF_ERROR(CheckComparable(*model, *reference));
  }
  ASSIGN_OR_RETURN(const std::vector<Decoded> decoded, DecodeAll(model, reference, tasks, options));
  std::vector<IclResult> results;
  auto next = decoded.begin();
  for (const IclTask& task : tasks) {
    Answers answers;
    Answers reference_answers;
    for (size_t i = 0; i < task.sequences.size(); ++i, ++next) {
      Count(task.sequences[i], next->model, i, answers);
      if (reference != nullptr) {
        Count(task.sequences[i], next->reference, i, reference_answers);
      }
    }
    const Answers* against = reference != nullptr ? &reference_answers : nullptr;
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
