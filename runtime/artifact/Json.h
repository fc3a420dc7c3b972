// Typed access to JSON documents that come from outside: every mismatch is an error that names the field.
#ifndef DEJAVU_RUNTIME_ARTIFACT_JSON_H_
#define DEJAVU_RUNTIME_ARTIFACT_JSON_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ir/base/JsonText.h"

namespace dejavu {

/// A view of one JSON object and the path that leads to it, as in "functions.decode.launches[3]". The object must
/// outlive the view.
class JsonObject {
 public:
  /// `value` may be of any type; Check() and every getter report one that is not an object.
  JsonObject(const nlohmann::json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  [[nodiscard]] absl::Status Check() const;
  [[nodiscard]] bool Has(const char* key) const;
  /// "field 'functions.decode.tokens'", for messages.
  [[nodiscard]] std::string Name(std::string_view key) const;
  [[nodiscard]] const std::string& path() const { return path_; }

  /// The member `key` of any type; an error where it is missing.
  [[nodiscard]] absl::StatusOr<const nlohmann::json*> Member(const char* key) const;
  [[nodiscard]] absl::StatusOr<std::string> String(const char* key) const;
  /// An integer from `low` to `high`, both included.
  [[nodiscard]] absl::StatusOr<int64_t> Integer(const char* key, int64_t low, int64_t high) const;
  /// As Integer(), but `fallback` where the member is missing.
  [[nodiscard]] absl::StatusOr<int64_t> IntegerOr(const char* key, int64_t low, int64_t high, int64_t fallback) const;
  [[nodiscard]] absl::StatusOr<bool> BoolOr(const char* key, bool fallback) const;
  [[nodiscard]] absl::StatusOr<const nlohmann::json*> Array(const char* key) const;
  [[nodiscard]] absl::StatusOr<JsonObject> Object(const char* key) const;

 private:
  const nlohmann::json* value_;
  std::string path_;
};

/// The largest size or offset accepted anywhere (2^50 bytes), so that sums and products of a few cannot overflow.
inline constexpr int64_t kMaxJsonBytes = int64_t{1} << 50;

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_JSON_H_
