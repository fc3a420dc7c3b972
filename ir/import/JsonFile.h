// JSON files written by others, such as a checkpoint's config.json: one clear error for each way of being wrong.
#ifndef DEJAVU_IR_IMPORT_JSONFILE_H_
#define DEJAVU_IR_IMPORT_JSONFILE_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "ir/base/Status.h"

namespace dejavu {

/// The object that the JSON file `path` holds. Anything else, a key that is there twice in one object, nesting deeper
/// than 64 and a file above 64 MiB are user errors that start with `path`.
[[nodiscard]] absl::StatusOr<nlohmann::json> ReadJsonObject(const std::string& path);

/// The same for a text; `path` is for messages.
[[nodiscard]] absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, const std::string& path);

/// The value in quotes for a message: `'relu'`, `'12.5'`, or "an object".
[[nodiscard]] std::string QuotedJson(const nlohmann::json& value);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_JSONFILE_H_
