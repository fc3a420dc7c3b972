#include "ir/import/OnnxTensors.h"

#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "ir/import/OnnxNames.h"
#include "ir/ops/OnnxTypes.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

/// The most elements a weight may have, as in the interpreter: byte counts then never overflow.
constexpr int64_t kMostElements = int64_t{1} << 31;

/// Sets dtype, dims and the byte count that they imply.
absl::Status ReadType(const onnx::TensorProto& tensor, WeightData& data) {
  const std::optional<DType> dtype = DTypeFromOnnx(tensor.data_type());
  if (!dtype) {
    return UserError("has ONNX's element type number ", tensor.data_type(),
                     ", which is not supported; weights must be f32, f16 or bf16");
  }
  int64_t count = 1;
  for (const int64_t dim : tensor.dims()) {
    if (dim < 0) {
      return UserError("has the negative dimension ", dim);
    }
    if (dim > kMostElements || (dim > 0 && count > kMostElements / dim)) {
      return UserError("has dimensions with more than 2^31 elements");
    }
    count *= dim > 0 ? dim : 1;
    data.dims.push_back(dim);
  }
  for (const int64_t dim : data.dims) {
    count = dim == 0 ? 0 : count;
  }
  data.dtype = *dtype;
  data.bytes = static_cast<size_t>(count) * DTypeSize(*dtype);
  return absl::OkStatus();
}

/// Converts the numbers of a typed field to a packed array of T.
template <typename T, typename Field>
absl::Status Pack(const Field& field, WeightData& data) {
  if (static_cast<size_t>(field.size()) * sizeof(T) != data.bytes) {
    return UserError("has ", field.size(), " elements, but its dimensions say ", data.bytes / sizeof(T));
  }
  auto buffer = std::make_shared<std::vector<T>>();
  buffer->reserve(static_cast<size_t>(field.size()));
  for (const auto value : field) {
    buffer->push_back(static_cast<T>(value));
  }
  data.data = reinterpret_cast<const std::byte*>(buffer->data());
  data.owner = std::move(buffer);
  return absl::OkStatus();
}

/// Elements in the typed fields: which one holds them follows from the dtype.
absl::Status ReadTyped(const onnx::TensorProto& tensor, WeightData& data) {
  switch (data.dtype) {
    case DType::kF32:
      return Pack<float>(tensor.float_data(), data);
    case DType::kF64:
      return Pack<double>(tensor.double_data(), data);
    case DType::kI64:
      return Pack<int64_t>(tensor.int64_data(), data);
    default:
      break;
  }
  // Halves are stored as their 16 bits.
  switch (DTypeSize(data.dtype)) {
    case 1:
      return Pack<uint8_t>(tensor.int32_data(), data);
    case 2:
      return Pack<uint16_t>(tensor.int32_data(), data);
    default:
      return Pack<int32_t>(tensor.int32_data(), data);
  }
}

/// Where external data is: the keys of a TensorProto's external_data.
struct ExternalPlace {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
};

absl::StatusOr<ExternalPlace> ReadPlace(const onnx::TensorProto& tensor) {
  ExternalPlace place;
  for (const onnx::StringStringEntryProto& entry : tensor.external_data()) {
    uint64_t number = 0;
    if (entry.key() == "location") {
      place.location = entry.value();
      continue;
    }
    if (entry.key() != "offset" && entry.key() != "length") {
      continue;
    }
    if (!absl::SimpleAtoi(entry.value(), &number)) {
      return UserError("has the ", entry.key(), " ", QuotedName(entry.value()), " in its external data, not a number");
    }
    if (entry.key() == "offset") {
      place.offset = number;
    } else {
      place.length = number;
    }
  }
  return place;
}

/// Whether `path`, both canonical, is below `folder`.
bool IsBelow(const fs::path& path, const fs::path& folder) {
  const fs::path relative = path.lexically_relative(folder);
  return !relative.empty() && *relative.begin() != "..";
}

}  // namespace

absl::StatusOr<WeightData> OnnxTensorReader::Read(const onnx::TensorProto& tensor) {
  WeightData data;
  RETURN_IF_ERROR(ReadType(tensor, data));
  if (tensor.has_segment()) {
    return UserError("is stored in segments, which are not supported");
  }
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    RETURN_IF_ERROR(ReadExternal(tensor, data));
  } else if (tensor.has_raw_data()) {
    if (tensor.raw_data().size() != data.bytes) {
      return UserError("has ", tensor.raw_data().size(), " bytes, but its type and dimensions need ", data.bytes);
    }
    data.data = reinterpret_cast<const std::byte*>(tensor.raw_data().data());
    data.owner = owner_;
  } else {
    RETURN_IF_ERROR(ReadTyped(tensor, data));
  }
  return data;
}

std::vector<std::string> OnnxTensorReader::ExternalFiles() const {
  std::vector<std::string> files;
  for (const auto& [location, file] : files_) {
    files.push_back((fs::path(folder_) / location).string());
  }
  return files;
}

absl::Status OnnxTensorReader::ReadExternal(const onnx::TensorProto& tensor, WeightData& data) {
  ASSIGN_OR_RETURN(const ExternalPlace place, ReadPlace(tensor));
  if (place.length && *place.length != data.bytes) {
    return UserError("has ", *place.length, " bytes of external data, but its type and dimensions need ", data.bytes);
  }
  ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> file, Map(place.location));
  if (place.offset > file->size() || data.bytes > file->size() - place.offset) {
    return UserError("has its data at bytes ", place.offset, " to ", place.offset, " + ", data.bytes, " of ",
                     QuotedName(place.location), ", which ends at ", file->size());
  }
  data.data = file->data() + place.offset;
  data.owner = std::move(file);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const MappedFile>> OnnxTensorReader::Map(const std::string& location) {
  if (const auto it = files_.find(location); it != files_.end()) {
    return it->second;
  }
  const fs::path relative(location);
  bool leaves = location.empty() || location.find('\0') != std::string::npos || relative.is_absolute();
  for (const fs::path& part : relative) {
    leaves = leaves || part == "..";
  }
  if (leaves) {
    return UserError("has its data in ", QuotedName(location), "; that must be a path below the model's folder");
  }
  std::error_code error;
  const fs::path folder = fs::canonical(folder_, error);
  const fs::path path = error ? fs::path() : fs::canonical(folder / relative, error);
  if (error) {
    return UserError("has its data in ", QuotedName(location), ", which cannot be opened (", error.message(),
                     "); external data must be in the model's folder");
  }
  if (!IsBelow(path, folder)) {
    return UserError("has its data in ", QuotedName(location),
                     ", a link to outside the model's folder; copy the file itself there");
  }
  ASSIGN_OR_RETURN(MappedFile mapped, MappedFile::Open(path.string()));
  auto file = std::make_shared<const MappedFile>(std::move(mapped));
  files_[location] = file;
  return file;
}

}  // namespace dejavu
