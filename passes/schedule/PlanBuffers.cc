// PlanBuffers.cc: gives every result its place in the arena, reusing the places of results that nobody reads any more.
#include <algorithm>
#include <map>

#include "ir/verify/ScheduleVerifier.h"
#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

constexpr int64_t kAlign = 64;

int64_t RoundUp(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

/// A stretch of the arena and the numbers of the first and last operation that need it.
struct Lifetime {
  int64_t begin;
  int64_t end;
  size_t first;
  size_t last;
};

class Planner {
 public:
  Planner(Function& function, int64_t max_tokens) : function_(function), max_tokens_(max_tokens) {}

  absl::Status Run() {
    size_t number = 0;
    std::map<const Operation*, size_t> numbers;
    for (const auto& op : function_.ops()) {
      numbers[op.get()] = number++;
    }
    // The tokens are written before the first launch and stay.
    taken_.push_back({0, RoundUp(max_tokens_ * 4), 0, number});
    for (const auto& op : function_.ops()) {
      std::vector<int64_t> at;
      for (size_t i = 0; i < op->num_results(); ++i) {
        const Value* value = op->result(i);
        if (value->type().rank() == 4) {
          at.push_back(-1);  // a cache, updated in place
          continue;
        }
        size_t last = numbers[op.get()];
        for (const Use& use : value->uses()) {
          last = std::max(last, numbers[use.user]);
        }
        const auto& returns = function_.returns();
        last = std::find(returns.begin(), returns.end(), value) != returns.end() ? number : last;
        ASSIGN_OR_RETURN(const int64_t bytes, ResultBytes(*op, *value, max_tokens_));
        at.push_back(Place(RoundUp(bytes), numbers[op.get()], last));
      }
      op->SetAttribute("at", at);
    }
    return absl::OkStatus();
  }

 private:
  /// The lowest gap among the stretches whose lifetimes overlap [first, last].
  int64_t Place(int64_t bytes, size_t first, size_t last) {
    std::vector<Lifetime> live;
    for (const Lifetime& other : taken_) {
      if (other.first <= last && first <= other.last) {
        live.push_back(other);
      }
    }
    std::sort(live.begin(), live.end(), [](const Lifetime& a, const Lifetime& b) { return a.begin < b.begin; });
    int64_t begin = 0;
    for (const Lifetime& other : live) {
      if (begin + bytes <= other.begin) {
        break;
      }
      begin = std::max(begin, other.end);
    }
    taken_.push_back({begin, begin + bytes, first, last});
    return begin;
  }

  Function& function_;
  int64_t max_tokens_;
  std::vector<Lifetime> taken_;
};

absl::Status PlanBuffers(Module& module, PassContext& context) {
  ASSIGN_OR_RETURN(const int64_t max_tokens, context.IntOption("max-tokens"));
  if (max_tokens < 1 || max_tokens > 4096) {
    return UsageError("plan-buffers: option 'max-tokens' must be between 1 and 4096, but is ", max_tokens);
  }
  module.SetAttribute("max_tokens", max_tokens);
  for (const auto& function : module.functions()) {
    RETURN_IF_ERROR(Planner(*function, max_tokens).Run());
    context.Count("functions planned");
  }
  return absl::OkStatus();
}

constexpr PassOption kOptions[] = {{"max-tokens", "128", "the most tokens that one call of @prefill takes"}};

}  // namespace

const PassInfo kPlanBuffersPass = {
    .name = "plan-buffers",
    .summary = "Gives every result its place in one arena, reusing the places of dead results.",
    .example = R"(before  %y = sched.launch @linear(%x, @w, @b) on stream0 {relu = false}
after   %y = sched.launch @linear(%x, @w, @b) on stream0 {at = [4096], relu = false})",
    .promise = Promise::kBits,
    .options = kOptions,
    .run = PlanBuffers};

}  // namespace dejavu
