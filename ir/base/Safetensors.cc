#include "ir/base/Safetensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/str_join.h"
#include "ir/base/SafetensorsHeader.h"
#include "ir/base/Status.h"

namespace dejavu {
namespace {

struct DTypeNames {
  std::string_view name;
  DType dtype;
};

constexpr std::array<DTypeNames, 10> kDTypeNames = {{{"F64", DType::kF64},
                                                     {"F32", DType::kF32},
                                                     {"F16", DType::kF16},
                                                     {"BF16", DType::kBF16},
                                                     {"I64", DType::kI64},
                                                     {"I32", DType::kI32},
                                                     {"I16", DType::kI16},
                                                     {"I8", DType::kI8},
                                                     {"U8", DType::kU8},
                                                     {"BOOL", DType::kBool}}};

std::optional<DType> ParseSafetensorsDType(std::string_view name) {
  for (const DTypeNames& names : kDTypeNames) {
    if (names.name == name) {
      return names.dtype;
    }
  }
  return std::nullopt;
}

// Checks one entry against itself and the data section; what holds between entries is checked by the caller.
absl::StatusOr<TensorView> MakeView(const SafetensorsEntry& entry, std::span<const std::byte> data,
                                    const std::string& where) {
  const std::optional<DType> dtype = ParseSafetensorsDType(entry.dtype);
  if (!dtype.has_value()) {
    return UserError(where, ": dtype '", entry.dtype,
                     "' is not supported; convert it to F64, F32, F16, BF16, I64, I32, "
                     "I16, I8, U8 or BOOL");
  }
  TensorView view;
  view.name = entry.name;
  view.dtype = *dtype;
  uint64_t bytes = DTypeSize(*dtype);
  for (const uint64_t dim : entry.dims) {
    if (dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
        __builtin_mul_overflow(bytes, dim, &bytes)) {
      return UserError(where, ": shape [", absl::StrJoin(entry.dims, ", "), "] is too large");
    }
    view.dims.push_back(static_cast<int64_t>(dim));
  }
  const uint64_t begin = entry.offsets[0];
  const uint64_t end = entry.offsets[1];
  if (begin > end || end > data.size()) {
    return UserError(where, ": data_offsets [", begin, ", ", end, "] do not lie within the file's ", data.size(),
                     " data bytes; the file is truncated or damaged");
  }
  if (end - begin != bytes) {
    return UserError(where, ": ", entry.dtype, " of shape [", absl::StrJoin(entry.dims, ", "), "] needs ", bytes,
                     " bytes, but data_offsets span ", end - begin);
  }
  view.data = data.data() + begin;
  view.bytes = bytes;
  return view;
}

// The tensors must cover the data section exactly: no overlap, no hole, nothing behind the last.
absl::Status CheckCover(const std::vector<TensorView>& tensors, std::span<const std::byte> data,
                        const std::string& path) {
  const std::byte* expected = data.data();
  for (const TensorView& tensor : tensors) {
    if (tensor.data != expected) {
      return UserError(path, ": tensor '", tensor.name, "' ",
                       tensor.data < expected ? "overlaps" : "leaves a hole after", " the one before it");
    }
    expected = tensor.data + tensor.bytes;
  }
  const auto rest = static_cast<size_t>(data.data() + data.size() - expected);
  if (rest != 0) {
    return UserError(path, ": ", rest, " bytes at the end belong to no tensor");
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<std::string_view> SafetensorsDTypeName(DType dtype) {
  for (const DTypeNames& names : kDTypeNames) {
    if (names.dtype == dtype) {
      return names.name;
    }
  }
  return std::nullopt;
}

absl::StatusOr<Safetensors> Safetensors::Open(const std::string& path) {
  ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  ASSIGN_OR_RETURN(Safetensors result, Parse(file.bytes(), path));
  result.file_ = std::move(file);
  return result;
}

absl::StatusOr<Safetensors> Safetensors::Parse(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.size() < kSafetensorsLengthBytes) {
    return UserError(name, ": is too short for a safetensors file (", bytes.size(), " bytes)");
  }
  uint64_t header_bytes = 0;
  for (size_t i = 0; i < kSafetensorsLengthBytes; ++i) {
    header_bytes |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
  }
  if (header_bytes > kMaxSafetensorsHeaderBytes || header_bytes > bytes.size() - kSafetensorsLengthBytes) {
    return UserError(name, ": is not a safetensors file or is truncated: its header claims ", header_bytes,
                     " bytes, the file has ", bytes.size());
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + kSafetensorsLengthBytes;
  ASSIGN_OR_RETURN(SafetensorsHeader header, ParseSafetensorsHeader(std::string_view(text, header_bytes), name));
  Safetensors result;
  result.path_ = name;
  result.metadata_ = std::move(header.metadata);
  const std::span<const std::byte> data = bytes.subspan(kSafetensorsLengthBytes + header_bytes);
  for (const SafetensorsEntry& entry : header.entries) {
    ASSIGN_OR_RETURN(TensorView view, MakeView(entry, data, absl::StrCat(name, ": tensor '", entry.name, "'")));
    result.tensors_.push_back(std::move(view));
  }
  std::stable_sort(result.tensors_.begin(), result.tensors_.end(), [](const TensorView& a, const TensorView& b) {
    return std::pair(a.data, a.bytes) < std::pair(b.data, b.bytes);
  });
  for (size_t i = 0; i < result.tensors_.size(); ++i) {
    if (!result.index_.emplace(result.tensors_[i].name, i).second) {
      return UserError(name, ": tensor '", result.tensors_[i].name, "' appears twice");
    }
  }
  RETURN_IF_ERROR(CheckCover(result.tensors_, data, name));
  return result;
}

const TensorView* Safetensors::Find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

absl::StatusOr<const TensorView*> Safetensors::Get(std::string_view name) const {
  const TensorView* view = Find(name);
  if (view == nullptr) {
    return UserError(path_, ": has no tensor named '", std::string(name), "'");
  }
  return view;
}

}  // namespace dejavu
