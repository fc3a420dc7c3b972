// OverlapPredictors.cc: lets predictors run beside launches that don't need them, on streams of their own.
//
// What waits for what follows from the operands, so only streams are set here; see StreamOrder.
#include <algorithm>
#include <map>
#include <set>

#include "ir/verify/StreamOrder.h"
#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

// Chains of one stream wait for each other. Those of neurons have the odd streams, those of heads the even ones; where
// several look ahead from the same place, as from the first layer, each has one of its own while there are streams.
constexpr int64_t kNeuronsStream = 1;
constexpr int64_t kHeadsStream = 2;
constexpr int64_t kKinds = 2;

class Overlapping {
 public:
  explicit Overlapping(const Function& function) {
    for (const auto& op : function.ops()) {
      numbers_.emplace(op.get(), ops_.size());
      ops_.push_back(op.get());
    }
  }

  /// Moves each chain of predictors that has something to run beside; returns how many launches moved.
  int64_t Run() {
    int64_t moved = 0;
    std::set<const Operation*> done;
    for (Operation* op : ops_) {
      if (!IsPredictorLaunch(*op) || done.contains(op)) {
        continue;
      }
      std::set<Operation*> chain;
      Collect(op, chain);
      done.insert(chain.begin(), chain.end());
      const size_t begin = BeginOf(chain);
      if (!RunsBeside(chain, begin)) {
        continue;
      }
      const int64_t stream = StreamOf(chain, begin);
      for (Operation* link : chain) {
        link->SetAttribute("stream", stream);
        ++moved;
      }
    }
    return moved;
  }

 private:
  static bool ListsHeads(const Operation* op) {
    const Type& type = op->result()->type();
    return type.dtype == DType::kIndex && type.shape[0] == Dim("heads");
  }

  /// Adds `op` and the predictors that are linked to it by their results. Of a cascade, the second step is another
  /// chain than that which lists its candidates: it reads more than they do.
  void Collect(Operation* op, std::set<Operation*>& chain) {  // NOLINT(misc-no-recursion): chains are short
    if (op == nullptr || !IsPredictorLaunch(*op) || !chain.insert(op).second) {
      return;
    }
    for (size_t i = 0; i < op->num_operands(); ++i) {
      if (op->operand(i) != nullptr && !Use{op, i}.Reads("among")) {
        Collect(op->operand(i)->producer(), chain);
      }
    }
    for (size_t i = 0; i < op->num_results(); ++i) {
      for (const Use& use : op->result(i)->uses()) {
        if (!use.Reads("among")) {
          Collect(use.user, chain);
        }
      }
    }
  }

  /// The first place behind all that the chain reads.
  size_t BeginOf(const std::set<Operation*>& chain) const {
    size_t begin = 0;
    for (const Operation* op : chain) {
      for (const Value* operand : op->operands()) {
        Operation* producer = operand == nullptr ? nullptr : operand->producer();
        if (producer != nullptr && !chain.contains(producer)) {
          begin = std::max(begin, numbers_.at(producer) + 1);
        }
      }
    }
    return begin;
  }

  /// The stream of the chain, another one for each of its kind that begins in the same place.
  int64_t StreamOf(const std::set<Operation*>& chain, size_t begin) {
    const bool is_heads = std::any_of(chain.begin(), chain.end(), &ListsHeads);
    const int64_t first = is_heads ? kHeadsStream : kNeuronsStream;
    const int64_t streams = (StreamOrder::kMaxStreams - first + kKinds - 1) / kKinds;
    return first + kKinds * (chains_[{first, begin}]++ % streams);
  }

  /// Whether another launch stands between what the chain reads and what reads the chain.
  bool RunsBeside(const std::set<Operation*>& chain, size_t begin) const {
    size_t end = ops_.size();
    for (Operation* op : chain) {
      for (size_t i = 0; i < op->num_results(); ++i) {
        for (const Use& use : op->result(i)->uses()) {
          end = chain.contains(use.user) ? end : std::min(end, numbers_.at(use.user));
        }
      }
    }
    for (size_t i = begin; i < end; ++i) {
      if (!IsPredictorLaunch(*ops_[i])) {
        return true;
      }
    }
    return false;
  }

  std::vector<Operation*> ops_;
  std::map<const Operation*, size_t> numbers_;
  std::map<std::pair<int64_t, size_t>, int64_t> chains_;  // how many there are, by kind and place
};

absl::Status OverlapPredictors(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    context.Count("launches moved", Overlapping(*function).Run());
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kOverlapPredictorsPass = {
    .name = "overlap-predictors",
    .summary = "Puts predictors that something can run beside on streams of their own, those of neurons and of heads.",
    .example =
        R"(before  %f = sched.launch @certified_test(%n, @q, @r) on stream0   %y = sched.launch @linear(%n, @w) on stream0
        %h = sched.launch @sparse_fc1(%y, @f, @b, %active) on stream0
after   %f = sched.launch @certified_test(%n, @q, @r) on stream1   %y = sched.launch @linear(%n, @w) on stream0
        %h = sched.launch @sparse_fc1(%y, @f, @b, %active) on stream0)",
    .promise = Promise::kBits,
    .options = {},
    .run = OverlapPredictors};

}  // namespace dejavu
