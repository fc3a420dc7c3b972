#include "runtime/artifact/Json.h"

#include <limits>

#include "ir/base/Status.h"

namespace dejavu {

absl::Status JsonObject::Check() const {
  if (!value_->is_object()) {
    return UserError(path_.empty() ? "the top level" : absl::StrCat("field '", path_, "'"),
                     " must be an object, but is ", value_->type_name());
  }
  return absl::OkStatus();
}

bool JsonObject::Has(const char* key) const { return value_->is_object() && value_->contains(key); }

std::string JsonObject::Name(std::string_view key) const {
  const absl::string_view name(key.data(), key.size());
  return path_.empty() ? absl::StrCat("field '", name, "'") : absl::StrCat("field '", path_, ".", name, "'");
}

absl::StatusOr<const nlohmann::json*> JsonObject::Member(const char* key) const {
  RETURN_IF_ERROR(Check());
  const auto found = value_->find(key);
  if (found == value_->end()) {
    return UserError(Name(key), " is missing");
  }
  return &*found;
}

absl::StatusOr<std::string> JsonObject::String(const char* key) const {
  ASSIGN_OR_RETURN(const nlohmann::json* member, Member(key));
  if (!member->is_string()) {
    return UserError(Name(key), " must be a string, but is ", member->type_name());
  }
  return member->get<std::string>();
}

absl::StatusOr<int64_t> JsonObject::Integer(const char* key, int64_t low, int64_t high) const {
  ASSIGN_OR_RETURN(const nlohmann::json* member, Member(key));
  if (!member->is_number_integer()) {
    return UserError(Name(key), " must be an integer, but is ", PrintJson(*member).substr(0, 40));
  }
  const bool overflows = member->is_number_unsigned() && member->get<uint64_t>() > std::numeric_limits<int64_t>::max();
  if (overflows || member->get<int64_t>() < low || member->get<int64_t>() > high) {
    return UserError(Name(key), " must be from ", low, " to ", high, ", but is ", PrintJson(*member));
  }
  return member->get<int64_t>();
}

absl::StatusOr<int64_t> JsonObject::IntegerOr(const char* key, int64_t low, int64_t high, int64_t fallback) const {
  return Has(key) ? Integer(key, low, high) : fallback;
}

absl::StatusOr<bool> JsonObject::BoolOr(const char* key, bool fallback) const {
  if (!Has(key)) {
    return fallback;
  }
  ASSIGN_OR_RETURN(const nlohmann::json* member, Member(key));
  if (!member->is_boolean()) {
    return UserError(Name(key), " must be true or false, but is ", PrintJson(*member).substr(0, 40));
  }
  return member->get<bool>();
}

absl::StatusOr<const nlohmann::json*> JsonObject::Array(const char* key) const {
  ASSIGN_OR_RETURN(const nlohmann::json* member, Member(key));
  if (!member->is_array()) {
    return UserError(Name(key), " must be an array, but is ", member->type_name());
  }
  return member;
}

absl::StatusOr<JsonObject> JsonObject::Object(const char* key) const {
  ASSIGN_OR_RETURN(const nlohmann::json* member, Member(key));
  JsonObject object(*member, path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key));
  RETURN_IF_ERROR(object.Check());
  return object;
}

}  // namespace dejavu
