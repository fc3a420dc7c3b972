#include "tools/driver/IclTasks.h"

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

constexpr int64_t kRepeated = 64;  // ids of a half of "repeat"
constexpr int64_t kItems = 4;      // ids to copy, or pairs to look up
constexpr int64_t kMinRepeated = 8;
constexpr int64_t kMinShots = 2;
// In OPT's vocabulary 4 special ids come first, then 256 bytes, then pairs by how often they are met.
constexpr int64_t kFirstId = 4;
constexpr int64_t kFirstPair = 260;
constexpr int64_t kManyIds = 512;

/// Random ids, each at most once.
class Ids {
 public:
  Ids(const ModelInfo& model, std::mt19937_64& random) : random_(random) {
    const bool many = model.vocab / 4 - kFirstPair >= kManyIds;
    for (int64_t id = many ? kFirstPair : kFirstId; id < (many ? model.vocab / 4 : model.vocab); ++id) {
      if (id != model.bos && id != model.eos) {
        ids_.push_back(static_cast<int32_t>(id));
      }
    }
  }

  /// Makes all ids available again.
  void Restart() { used_ = 0; }

  int32_t Next() {
    // One step of a shuffle. The remainder prefers no id by more than 1 in 2^40.
    std::swap(ids_[used_], ids_[used_ + Below(ids_.size() - used_)]);
    return ids_[used_++];
  }

  std::vector<int32_t> Next(int64_t count) {
    std::vector<int32_t> some(static_cast<size_t>(count));
    std::generate(some.begin(), some.end(), [this] { return Next(); });
    return some;
  }

  size_t Below(size_t count) { return static_cast<size_t>(random_() % count); }

 private:
  std::mt19937_64& random_;
  std::vector<int32_t> ids_;
  size_t used_ = 0;
};

void Append(const std::vector<int32_t>& some, IclSequence& sequence) {
  sequence.tokens.insert(sequence.tokens.end(), some.begin(), some.end());
}

/// Appends an id that is asked for.
void Ask(int32_t id, int64_t shots, IclSequence& sequence) {
  sequence.answers.push_back({static_cast<int64_t>(sequence.tokens.size()), shots});
  sequence.tokens.push_back(id);
}

/// The marks of a sequence, "> ;" in the header's examples.
struct Marks {
  int32_t query = 0;
  int32_t end = 0;
};

using AddExample = void (*)(Ids&, const Marks&, int64_t shots, IclSequence&);

void AddCopy(Ids& ids, const Marks& marks, int64_t shots, IclSequence& sequence) {
  const std::vector<int32_t> items = ids.Next(kItems);
  Append(items, sequence);
  sequence.tokens.push_back(marks.query);
  for (const int32_t item : items) {
    Ask(item, shots, sequence);
  }
  sequence.tokens.push_back(marks.end);
}

void AddLookup(bool reverse, Ids& ids, const Marks& marks, int64_t shots, IclSequence& sequence) {
  const std::vector<int32_t> pairs = ids.Next(2 * kItems);
  Append(pairs, sequence);
  sequence.tokens.push_back(marks.query);
  const size_t key = 2 * ids.Below(static_cast<size_t>(kItems));
  sequence.tokens.push_back(pairs[key + (reverse ? 1 : 0)]);
  Ask(pairs[key + (reverse ? 0 : 1)], shots, sequence);
  sequence.tokens.push_back(marks.end);
}

void AddRecall(Ids& ids, const Marks& marks, int64_t shots, IclSequence& sequence) {
  AddLookup(/*reverse=*/false, ids, marks, shots, sequence);
}

void AddReverse(Ids& ids, const Marks& marks, int64_t shots, IclSequence& sequence) {
  AddLookup(/*reverse=*/true, ids, marks, shots, sequence);
}

struct Pattern {
  std::string_view name;
  std::string_view what;
  int64_t tokens;  // of an example
  int64_t ids;     // new ones of an example
  AddExample add;
};

constexpr std::array kPatterns = std::to_array<Pattern>({
    {"copy", "four ids are copied after a mark", 2 * kItems + 2, kItems, AddCopy},
    {"recall", "of four pairs, the value of a key", 2 * kItems + 4, 2 * kItems, AddRecall},
    {"reverse", "of four pairs, the key of a value", 2 * kItems + 4, 2 * kItems, AddReverse},
});

IclSequence MakeRepeat(int64_t length, int32_t first, Ids& ids) {
  IclSequence sequence;
  sequence.tokens = {first};
  const std::vector<int32_t> half = ids.Next(length);
  Append(half, sequence);
  // Nothing tells that the second half begins.
  sequence.tokens.push_back(half[0]);
  for (size_t i = 1; i < half.size(); ++i) {
    Ask(half[i], 0, sequence);
  }
  return sequence;
}

IclSequence MakePattern(const Pattern& pattern, int64_t shots, int32_t first, Ids& ids) {
  IclSequence sequence;
  sequence.tokens = {first};
  const int32_t query = ids.Next();
  const Marks marks = {query, ids.Next()};
  for (int64_t shot = 0; shot <= shots; ++shot) {
    pattern.add(ids, marks, shot, sequence);
  }
  return sequence;
}

/// A task's sequences come from a generator of its own, so that tasks don't depend on each other.
template <typename Make>
IclTask MakeTask(const ModelInfo& model, uint64_t seed, int64_t sequences, IclTask task, const Make& make) {
  std::seed_seq mixed(task.name.begin(), task.name.end());
  std::array<uint32_t, 1> of_task = {};
  mixed.generate(of_task.begin(), of_task.end());
  std::mt19937_64 random(seed ^ uint64_t{of_task[0]} << 32U);
  Ids ids(model, random);
  for (int64_t i = 0; i < sequences; ++i) {
    ids.Restart();
    task.sequences.push_back(make(ids));
  }
  return task;
}

}  // namespace

absl::StatusOr<std::vector<IclTask>> MakeIclTasks(const ModelInfo& model, uint64_t seed, int64_t sequences) {
  const int64_t repeated = std::min(kRepeated, (model.positions - 1) / 2);
  int64_t needed_ids = repeated;
  int64_t needed_positions = 1 + 2 * kMinRepeated;
  for (const Pattern& pattern : kPatterns) {
    needed_ids = std::max(needed_ids, 2 + (kIclShots + 1) * pattern.ids);
    needed_positions = std::max(needed_positions, 1 + (kMinShots + 1) * pattern.tokens);
  }
  if (model.positions < needed_positions || model.vocab < needed_ids + kFirstId + 2) {
    return UserError("--icl needs a model of at least ", needed_positions, " positions and ", needed_ids + kFirstId + 2,
                     " token ids, but this one has ", model.positions, " and ", model.vocab);
  }
  const auto first = static_cast<int32_t>(model.bos);
  std::vector<IclTask> tasks;
  tasks.push_back(MakeTask(model, seed, sequences, {"repeat", "random ids, repeated once", false, {}},
                           [&](Ids& ids) { return MakeRepeat(repeated, first, ids); }));
  for (const Pattern& pattern : kPatterns) {
    const int64_t shots = std::min(kIclShots, (model.positions - 1) / pattern.tokens - 1);
    tasks.push_back(MakeTask(model, seed, sequences, {pattern.name, pattern.what, true, {}},
                             [&](Ids& ids) { return MakePattern(pattern, shots, first, ids); }));
  }
  return tasks;
}

}  // namespace dejavu
