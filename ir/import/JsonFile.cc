#include "ir/import/JsonFile.h"

#include <nlohmann/json.hpp>

#include "ir/base/FileUtil.h"
#include "ir/base/JsonText.h"
#include "ir/import/OnnxNames.h"

namespace dejavu {

using Json = nlohmann::json;

constexpr size_t kMostBytes = size_t{64} << 20;

absl::StatusOr<Json> ParseJsonObject(std::string_view text, const std::string& path) {
  absl::StatusOr<Json> json = ParseJsonObject(text);
  RETURN_IF_ERROR(WithContext(json.status(), path));
  return json;
}

absl::StatusOr<Json> ReadJsonObject(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMostBytes));
  return ParseJsonObject(text, path);
}

std::string QuotedJson(const Json& value) {
  if (value.is_structured()) {
    return absl::StrCat("an ", value.type_name());
  }
  return QuotedName(value.is_string() ? value.get<std::string>() : value.dump());
}

}  // namespace dejavu
