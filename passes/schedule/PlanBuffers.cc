// PlanBuffers.cc: gives every result its place in the arena, reusing the places of results that nobody reads any more.
#include <algorithm>
#include <map>

#include "ir/verify/ScheduleVerifier.h"
#include "ir/verify/StreamOrder.h"
#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

constexpr int64_t kAlign = 64;

int64_t RoundUp(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

/// A stretch of the arena, and the numbers of the launches that write and read it.
struct Stretch {
  int64_t begin = 0;
  int64_t end = 0;
  bool stays = false;              // to the end of the call
  std::vector<size_t> users = {};  // what writes it first
};

class Planner {
 public:
  Planner(Function& function, const StreamOrder& order, int64_t max_tokens)
      : function_(function), order_(order), max_tokens_(max_tokens) {}

  absl::Status Run() {
    std::map<const Operation*, size_t> numbers;
    for (const auto& op : function_.ops()) {
      numbers.emplace(op.get(), numbers.size());
    }
    // The tokens are written before the first launch and stay.
    taken_.push_back({.end = RoundUp(max_tokens_ * 4), .stays = true});
    for (const auto& op : function_.ops()) {
      std::vector<int64_t> at;
      for (size_t i = 0; i < op->num_results(); ++i) {
        const Value* value = op->result(i);
        if (value->type().rank() == 4) {
          at.push_back(-1);  // a cache, updated in place
          continue;
        }
        Stretch stretch;
        stretch.users.push_back(numbers[op.get()]);
        for (const Use& use : value->uses()) {
          stretch.users.push_back(numbers[use.user]);
        }
        const auto& returns = function_.returns();
        stretch.stays = std::find(returns.begin(), returns.end(), value) != returns.end();
        ASSIGN_OR_RETURN(const int64_t bytes, ResultBytes(*op, *value, max_tokens_));
        Place(RoundUp(bytes), stretch);
        at.push_back(stretch.begin);
        taken_.push_back(std::move(stretch));
      }
      op->SetAttribute("at", at);
    }
    return absl::OkStatus();
  }

 private:
  /// Whether all that `other` is needed for has ended when the launch of number `writer` starts. A launch that may run
  /// beside another takes none of its bytes.
  bool IsOver(const Stretch& other, size_t writer) const {
    return !other.stays && std::all_of(other.users.begin(), other.users.end(),
                                       [&](size_t user) { return order_.EndsBefore(user, writer); });
  }

  /// Puts `stretch` into the lowest gap among those that are still needed.
  void Place(int64_t bytes, Stretch& stretch) const {
    std::vector<const Stretch*> live;
    for (const Stretch& other : taken_) {
      if (!IsOver(other, stretch.users.front())) {
        live.push_back(&other);
      }
    }
    std::sort(live.begin(), live.end(), [](const Stretch* a, const Stretch* b) { return a->begin < b->begin; });
    for (const Stretch* other : live) {
      if (stretch.begin + bytes <= other->begin) {
        break;
      }
      stretch.begin = std::max(stretch.begin, other->end);
    }
    stretch.end = stretch.begin + bytes;
  }

  Function& function_;
  const StreamOrder& order_;
  int64_t max_tokens_;
  std::vector<Stretch> taken_;
};

absl::Status PlanBuffers(Module& module, PassContext& context) {
  ASSIGN_OR_RETURN(const int64_t max_tokens, context.IntOption("max-tokens"));
  if (max_tokens < 1 || max_tokens > 4096) {
    return UsageError("plan-buffers: option 'max-tokens' must be between 1 and 4096, but is ", max_tokens);
  }
  module.SetAttribute("max_tokens", max_tokens);
  for (const auto& function : module.functions()) {
    ASSIGN_OR_RETURN(const StreamOrder order, StreamOrder::Of(*function));
    RETURN_IF_ERROR(Planner(*function, order, max_tokens).Run());
    context.Count("functions planned");
  }
  return absl::OkStatus();
}

constexpr PassOption kPlanBuffersOptions[] = {{"max-tokens", "128", "the most tokens that one call of @prefill takes"}};

}  // namespace

const PassInfo kPlanBuffersPass = {
    .name = "plan-buffers",
    .summary = "Gives every result its place in one arena, reusing the places of dead results.",
    .example = R"(before  %y = sched.launch @linear(%x, @w, @b) on stream0 {relu = false}
after   %y = sched.launch @linear(%x, @w, @b) on stream0 {at = [4096], relu = false})",
    .promise = Promise::kBits,
    .options = kPlanBuffersOptions,
    .run = PlanBuffers};

}  // namespace dejavu
