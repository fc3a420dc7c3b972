#include "ir/base/JsonText.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "absl/strings/escaping.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

constexpr size_t kDeepest = 64;

/// Looks at each event of the parser; a document alone no longer tells that one of two equal keys was dropped.
class Watcher {
 public:
  /// Returns whether to keep the value that begins.
  bool operator()(int depth, Json::parse_event_t event, const Json& value) {
    const auto level = static_cast<size_t>(depth);
    const bool begins = event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (begins && level >= kDeepest) {
      Fail(absl::StrCat("is nested deeper than ", kDeepest, " levels"));
      return false;
    }
    if (event == Json::parse_event_t::object_start) {
      keys_.resize(level + 1);  // of the objects that are open, by depth
      keys_[level].clear();
    } else if (event == Json::parse_event_t::key && level >= 1 && level <= keys_.size() &&
               !keys_[level - 1].insert(value.get<std::string>()).second) {
      Fail(absl::StrCat("has the key '", absl::Utf8SafeCEscape(value.get<std::string>()).substr(0, 80),
                        "' twice in one object"));
    }
    return true;
  }

  const std::string& error() const { return error_; }

 private:
  void Fail(std::string message) {
    if (error_.empty()) {
      error_ = std::move(message);
    }
  }

  std::vector<std::set<std::string>> keys_;
  std::string error_;
};

}  // namespace

absl::StatusOr<Json> ParseJsonObject(std::string_view text) {
  Watcher watcher;
  Json json;
  try {
    json = Json::parse(text.begin(), text.end(), std::ref(watcher));
  } catch (const Json::parse_error& error) {
    return UserError("is not valid JSON at byte ", error.byte);
  } catch (const Json::exception&) {
    return UserError("has a number that is too large");  // as 1e999
  }
  if (!watcher.error().empty()) {
    return UserError(watcher.error());
  }
  if (!json.is_object()) {
    return UserError("must hold a JSON object, but holds ", json.type_name());
  }
  return json;
}

std::string PrintJson(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace dejavu
