#include "tools/driver/TraceFile.h"

#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "ir/base/FileUtil.h"

namespace dejavu {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson Name(const char* what, int64_t row, const std::string& name) {
  return {{"name", what}, {"ph", "M"}, {"pid", 0}, {"tid", row}, {"args", {{"name", name}}}};
}

OrderedJson Bar(const TracedLaunch& launch) {
  OrderedJson args = {{"bytes", launch.bytes}, {"gb_per_s", launch.us > 0 ? launch.bytes / 1e3 / launch.us : 0.0}};
  if (launch.layer >= 0) {
    args["layer"] = launch.layer;
  }
  return {{"name", launch.name},
          {"ph", "X"},
          {"pid", 0},
          {"tid", launch.stream},
          {"ts", launch.begin_us},
          {"dur", launch.us},
          {"args", std::move(args)}};
}

}  // namespace

absl::Status WriteTrace(const std::string& path, const std::string& title, const std::vector<TracedLaunch>& launches) {
  OrderedJson events = OrderedJson::array({Name("process_name", 0, title)});
  std::set<int64_t> streams;
  for (const TracedLaunch& launch : launches) {
    if (streams.insert(launch.stream).second) {
      events.push_back(Name("thread_name", launch.stream, absl::StrCat("stream ", launch.stream)));
    }
  }
  for (const TracedLaunch& launch : launches) {
    events.push_back(Bar(launch));
  }
  const OrderedJson json = {{"displayTimeUnit", "ns"}, {"traceEvents", std::move(events)}};
  return WriteFileAtomically(path, json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

}  // namespace dejavu
