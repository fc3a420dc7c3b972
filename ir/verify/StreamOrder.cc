#include "ir/verify/StreamOrder.h"

#include <algorithm>
#include <map>
#include <set>

namespace dejavu {

namespace {

/// A product may be a layer's or a predictor's: that depends on who reads it.
bool OnlyPredictorsRead(const Operation& op) {  // NOLINT(misc-no-recursion): chains are short
  const std::vector<Use>& uses = op.result()->uses();
  return !uses.empty() &&
         std::all_of(uses.begin(), uses.end(), [](const Use& use) { return IsPredictorLaunch(*use.user); });
}

}  // namespace

bool IsPredictorLaunch(const Operation& op) {  // NOLINT(misc-no-recursion)
  constexpr std::array kLaunches = std::to_array<std::string_view>(
      {"sched.launch @certified_test", "sched.launch @compact", "sched.launch @quantized_linear",
       "sched.launch @quantized_test", "sched.launch @select"});
  return std::any_of(kLaunches.begin(), kLaunches.end(), [&](std::string_view name) { return op.Is(name); }) ||
         (op.Is("sched.launch @linear") && OnlyPredictorsRead(op));
}

absl::StatusOr<StreamOrder> StreamOrder::Of(const Function& function) {
  StreamOrder order;
  order.last_.fill(-1);
  std::map<const Operation*, size_t> numbers;
  for (const auto& op : function.ops()) {
    const int64_t stream = op->GetAttribute<int64_t>("stream").value_or(0);
    if (stream < 0 || stream >= kMaxStreams) {
      return UserError(op->Describe(), " is on stream ", stream, ", but streams are 0 to ", kMaxStreams - 1);
    }
    std::set<size_t> producers;
    for (const Value* operand : op->operands()) {
      if (operand != nullptr && operand->producer() != nullptr) {
        producers.insert(numbers.at(operand->producer()));
      }
    }
    numbers.emplace(op.get(), numbers.size());
    order.Add(static_cast<size_t>(stream), {producers.begin(), producers.end()});
  }
  return order;
}

void StreamOrder::Add(size_t stream, const std::vector<size_t>& producers) {
  const auto number = stream_.size();
  std::vector<size_t> before = producers;
  if (last_[stream] >= 0) {
    before.push_back(static_cast<size_t>(last_[stream]));
  }
  std::array<int64_t, kMaxStreams> ended;
  ended.fill(-1);
  for (const size_t launch : before) {
    for (size_t s = 0; s < ended.size(); ++s) {
      ended[s] = std::max(ended[s], ended_[launch][s]);
    }
  }
  // What some other launch before this one has waited for need not be waited for again.
  std::vector<size_t> waits;
  for (const size_t launch : producers) {
    if (stream_[launch] != stream && Index(launch) > ended[stream_[launch]]) {
      waits.push_back(launch);
    }
  }
  for (const size_t launch : before) {
    ended[stream_[launch]] = std::max(ended[stream_[launch]], Index(launch));
  }
  // Of several in one stream, the last.
  std::erase_if(waits, [&](size_t launch) { return Index(launch) < ended[stream_[launch]]; });
  stream_.push_back(stream);
  ended_.push_back(ended);
  waits_.push_back(std::move(waits));
  last_[stream] = Index(number);
}

}  // namespace dejavu
