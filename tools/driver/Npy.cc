#include "tools/driver/Npy.h"

#include <bit>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "ir/base/FileUtil.h"

namespace dejavu {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kPrefixBytes = 10;  // magic, version 1.0, length of the header

}  // namespace

absl::Status WriteNpy(const std::string& path, std::span<const float> values, int64_t rows, int64_t columns) {
  static_assert(std::endian::native == std::endian::little, "'<f4' below says so");
  std::string header = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", columns, "), }");
  header.append((kAlignment - (kPrefixBytes + header.size() + 1) % kAlignment) % kAlignment, ' ');
  header.push_back('\n');
  std::string file = "\x93NUMPY\x01";
  file.push_back('\0');
  file.push_back(static_cast<char>(header.size() & 0xFFU));
  file.push_back(static_cast<char>(header.size() >> 8U));
  file += header;
  file.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return WriteFileAtomically(path, file);
}

}  // namespace dejavu
