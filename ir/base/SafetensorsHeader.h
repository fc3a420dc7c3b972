// The JSON header of a safetensors file as a stranger wrote it, and its bounds; private to reader and writer.
#ifndef DEJAVU_IR_BASE_SAFETENSORSHEADER_H_
#define DEJAVU_IR_BASE_SAFETENSORSHEADER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace dejavu {

/// What stands before the header: its length, as a little-endian integer.
inline constexpr size_t kSafetensorsLengthBytes = 8;
/// The longest header, as in the format's own implementation.
inline constexpr size_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// One tensor as the header states it; nothing is checked against the file yet.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> dims;
  std::vector<uint64_t> offsets;  // always two
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the header's order
  std::map<std::string, std::string> metadata;
};

/// Parses the header's text. Anything but the format's objects, fields and unsigned numbers is a user error that starts
/// with `path`. Equal tensor names are left to the caller, who has an index of them.
[[nodiscard]] absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(std::string_view text, const std::string& path);

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_SAFETENSORSHEADER_H_
