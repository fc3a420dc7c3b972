#include "tests/support/Npz.h"

#include <cstring>
#include <optional>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "ir/base/FileUtil.h"

namespace dejavu {
namespace {

/// A little-endian number at `offset`; 0 past the end, where the signature checks then fail.
template <typename T>
T Load(std::string_view bytes, size_t offset) {
  T value = 0;
  if (offset + sizeof(T) <= bytes.size()) {
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
  }
  return value;
}

/// What stands between `before` and `after` in a .npy header.
std::string_view Between(std::string_view text, std::string_view before, std::string_view after) {
  const size_t start = text.find(before);
  if (start == std::string_view::npos) {
    return {};
  }
  text.remove_prefix(start + before.size());
  return text.substr(0, text.find(after));
}

std::optional<DType> DTypeOfDescr(std::string_view descr) {
  static const std::map<std::string_view, DType> kTypes = {{"<f8", DType::kF64}, {"<f4", DType::kF32},
                                                           {"<f2", DType::kF16}, {"<i8", DType::kI64},
                                                           {"<i4", DType::kI32}, {"|b1", DType::kBool}};
  const auto it = kTypes.find(descr);
  return it == kTypes.end() ? std::nullopt : std::optional(it->second);
}

absl::StatusOr<Tensor> ParseNpy(std::string_view bytes) {
  if (!bytes.starts_with("\x93NUMPY")) {
    return UserError("is not a .npy array");
  }
  const bool first_version = bytes[6] == 1;
  const size_t header_size = first_version ? Load<uint16_t>(bytes, 8) : Load<uint32_t>(bytes, 8);
  const size_t header_start = first_version ? 10 : 12;
  const std::string_view header = bytes.substr(header_start, header_size);
  const std::optional<DType> dtype = DTypeOfDescr(Between(header, "'descr': '", "'"));
  if (!dtype || header.find("'fortran_order': False") == std::string_view::npos) {
    return UserError("has an unsupported header: ", std::string(header));
  }
  std::vector<int64_t> dims;
  const std::string shape(Between(header, "'shape': (", ")"));
  for (const absl::string_view part : absl::StrSplit(shape, ',', absl::SkipWhitespace())) {
    int64_t dim = 0;
    if (!absl::SimpleAtoi(part, &dim)) {
      return UserError("has the shape (", shape, ")");
    }
    dims.push_back(dim);
  }
  ASSIGN_OR_RETURN(Tensor tensor, Tensor::Zeros(*dtype, std::move(dims)));
  const std::string_view data = bytes.substr(header_start + header_size);
  const auto count = static_cast<size_t>(tensor.NumElements());
  if (data.size() < count * DTypeSize(*dtype)) {
    return UserError("is truncated");
  }
  for (size_t i = 0; i < count; ++i) {
    if (IsFloat(*dtype)) {
      tensor.floats[i] = LoadAsDouble(*dtype, data.data(), i);
    } else {
      tensor.ints[i] = static_cast<int64_t>(LoadAsDouble(*dtype, data.data(), i));
    }
  }
  return tensor;
}

}  // namespace

absl::StatusOr<std::map<std::string, Tensor>> ReadNpz(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string file, ReadTextFile(path));
  const std::string_view bytes = file;
  const size_t end = bytes.rfind(std::string_view("PK\x05\x06", 4));
  if (end == std::string_view::npos) {
    return UserError(path, ": is not a .npz file");
  }
  std::map<std::string, Tensor> arrays;
  size_t entry = Load<uint32_t>(bytes, end + 16);
  for (int left = Load<uint16_t>(bytes, end + 10); left > 0; --left) {
    const size_t name_size = Load<uint16_t>(bytes, entry + 28);
    const size_t local = Load<uint32_t>(bytes, entry + 42);
    const size_t data = local + 30 + Load<uint16_t>(bytes, local + 26) + Load<uint16_t>(bytes, local + 28);
    if (Load<uint32_t>(bytes, entry) != 0x02014B50 || Load<uint16_t>(bytes, entry + 10) != 0 || data > bytes.size()) {
      return UserError(path, ": is damaged or compressed");
    }
    const std::string name(bytes.substr(entry + 46, name_size));
    absl::StatusOr<Tensor> array = ParseNpy(bytes.substr(data, Load<uint32_t>(bytes, entry + 24)));
    if (!array.ok()) {
      return WithContext(array.status(), absl::StrCat(path, ": ", name));
    }
    arrays[name.substr(0, name.rfind(".npy"))] = *std::move(array);
    entry += 46 + name_size + Load<uint16_t>(bytes, entry + 30) + Load<uint16_t>(bytes, entry + 32);
  }
  return arrays;
}

}  // namespace dejavu
