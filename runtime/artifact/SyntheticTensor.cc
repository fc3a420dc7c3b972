#include "runtime/artifact/SyntheticTensor.h"

#include "ir/base/Hash.h"
#include "ir/base/QuantizedCopy.h"
#include "ir/base/Status.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxElements = int64_t{1} << 24;

/// A finite number that is one as f32 too.
absl::StatusOr<float> ReadFloat(const Json& value, const std::string& name) {
  const double number = value.is_number() ? value.get<double>() : 1e300;
  const bool is_usual = number >= -1e30 && number <= 1e30;
  if (!is_usual) {
    return UserError(name, " must be a number from -1e30 to 1e30, but is ", PrintJson(value).substr(0, 40));
  }
  return static_cast<float>(number);
}

absl::StatusOr<const Json*> ReadList(const JsonObject& object, const char* key) {
  ASSIGN_OR_RETURN(const Json* list, object.Array(key));
  if (list->empty() || list->size() > kMaxSyntheticList) {
    return UserError(object.Name(key), " must have from 1 to ", kMaxSyntheticList, " entries");
  }
  return list;
}

absl::Status ReadGrid(const JsonObject& object, SyntheticTensor& tensor) {
  ASSIGN_OR_RETURN(const Json* step, object.Member("step"));
  ASSIGN_OR_RETURN(tensor.fill.step, ReadFloat(*step, object.Name("step")));
  ASSIGN_OR_RETURN(tensor.fill.transposed, object.BoolOr("transposed", false));
  ASSIGN_OR_RETURN(const Json* seeds, ReadList(object, "seeds"));
  for (const Json& seed : *seeds) {
    const auto hash = seed.is_string() ? ParseHash(seed.get_ref<const std::string&>()) : std::nullopt;
    if (!hash.has_value()) {
      return UserError(object.Name("seeds"), " must hold texts of 16 hexadecimal digits");
    }
    tensor.fill.seeds.push_back(*hash);
  }
  if (tensor.dtype == DType::kI8 && tensor.fill.step != 1) {
    return UserError(object.Name("step"), " of an i8 must be 1, but is ", tensor.fill.step);
  }
  const int64_t height = tensor.fill.transposed ? tensor.columns : tensor.rows;
  if (height % static_cast<int64_t>(tensor.fill.seeds.size()) != 0) {
    return UserError(object.Name("seeds"), ": ", tensor.fill.seeds.size(), " seeds do not divide ", height, " rows");
  }
  return absl::OkStatus();
}

/// What makes a grid the copy of one.
absl::Status ReadCopy(const JsonObject& object, SyntheticTensor& tensor) {
  ASSIGN_OR_RETURN(tensor.fill.copy_bits, object.Integer("copy_bits", 2, 8));
  ASSIGN_OR_RETURN(tensor.fill.copy_columns, object.Integer("copy_columns", 1, kMaxElements));
  if (!IsCopyBits(tensor.fill.copy_bits) || tensor.dtype != DType::kI8 || tensor.fill.transposed ||
      tensor.columns != CopyRowBytes(tensor.fill.copy_bits, tensor.fill.copy_columns)) {
    return UserError(object.Name("copy_bits"), " needs 2, 3, 4 or 8 bits, an i8 and as many columns as rows of ",
                     tensor.fill.copy_columns, " have bytes");
  }
  return absl::OkStatus();
}

absl::Status ReadChoice(const JsonObject& object, SyntheticTensor& tensor) {
  const int64_t count = tensor.rows * tensor.columns;
  ASSIGN_OR_RETURN(tensor.fill.multiplier, object.Integer("multiplier", 1, kMaxElements));
  ASSIGN_OR_RETURN(tensor.fill.offset, object.Integer("offset", 0, kMaxElements));
  ASSIGN_OR_RETURN(tensor.fill.chosen, object.Integer("chosen", 0, count));
  if (tensor.fill.pattern.size() != 2 || count > kMaxElements) {
    return UserError(object.Name("multiplier"), " needs a pattern of 2 numbers and at most ", kMaxElements,
                     " elements");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SyntheticTensor> ParseSyntheticTensor(const JsonObject& object) {
  RETURN_IF_ERROR(object.Check());
  SyntheticTensor tensor;
  ASSIGN_OR_RETURN(const std::string dtype, object.String("dtype"));
  const std::optional<DType> known = ParseDType(dtype);
  if (known != DType::kF32 && known != DType::kF16 && known != DType::kBF16 && known != DType::kI8) {
    return UserError(object.Name("dtype"), " must be f32, f16, bf16 or i8, but is '", dtype, "'");
  }
  tensor.dtype = *known;
  ASSIGN_OR_RETURN(tensor.rows, object.Integer("rows", 1, kMaxElements));
  ASSIGN_OR_RETURN(tensor.columns, object.Integer("columns", 1, kMaxElements));
  if (!object.Has("pattern")) {
    RETURN_IF_ERROR(ReadGrid(object, tensor));
    if (object.Has("copy_bits")) {
      RETURN_IF_ERROR(ReadCopy(object, tensor));
    }
    return tensor;
  }
  ASSIGN_OR_RETURN(const Json* pattern, ReadList(object, "pattern"));
  for (const Json& value : *pattern) {
    ASSIGN_OR_RETURN(const float number, ReadFloat(value, object.Name("pattern")));
    const bool is_int8 = number >= -127 && number <= 127;
    if (tensor.dtype == DType::kI8 && !is_int8) {
      return UserError(object.Name("pattern"), " of an i8 must hold numbers from -127 to 127, but has ", number);
    }
    tensor.fill.pattern.push_back(number);
  }
  if (object.Has("multiplier")) {
    RETURN_IF_ERROR(ReadChoice(object, tensor));
  }
  return tensor;
}

Json SyntheticTensorToJson(const SyntheticTensor& tensor) {
  const std::string_view dtype = DTypeName(tensor.dtype);
  Json json = {{"dtype", dtype}, {"rows", tensor.rows}, {"columns", tensor.columns}};
  if (!tensor.fill.pattern.empty()) {
    json["pattern"] = tensor.fill.pattern;
    if (tensor.fill.multiplier > 0) {
      json["multiplier"] = tensor.fill.multiplier;
      json["offset"] = tensor.fill.offset;
      json["chosen"] = tensor.fill.chosen;
    }
    return json;
  }
  json["step"] = tensor.fill.step;
  json["transposed"] = tensor.fill.transposed;
  if (tensor.fill.copy_bits > 0) {
    json["copy_bits"] = tensor.fill.copy_bits;
    json["copy_columns"] = tensor.fill.copy_columns;
  }
  json["seeds"] = Json::array();
  for (const uint64_t seed : tensor.fill.seeds) {
    json["seeds"].push_back(HashText(seed));
  }
  return json;
}

}  // namespace dejavu
