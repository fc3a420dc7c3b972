// JSON written by others: one clear error for each way of being wrong.
#ifndef DEJAVU_IR_BASE_JSONTEXT_H_
#define DEJAVU_IR_BASE_JSONTEXT_H_

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "ir/base/Status.h"

namespace dejavu {

/// The object that `text` holds. Anything else, a key that is there twice in one object and nesting deeper than 64 are
/// user errors that go on after the name of the file. Never throws.
[[nodiscard]] absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text);

/// Prints on one line; bytes that are not UTF-8 become U+FFFD instead of an exception.
[[nodiscard]] std::string PrintJson(const nlohmann::json& value);

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_JSONTEXT_H_
