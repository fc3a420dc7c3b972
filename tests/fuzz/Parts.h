// Inputs of fuzz targets that read more than one file.
#ifndef DEJAVU_TESTS_FUZZ_PARTS_H_
#define DEJAVU_TESTS_FUZZ_PARTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dejavu {

/// Splits an input at its first N-1 bytes of 0x1e; missing parts are empty. The parts point into `data`.
template <size_t N>
std::array<std::string_view, N> SplitParts(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  std::array<std::string_view, N> parts;
  for (size_t i = 0; i + 1 < N; ++i) {
    const size_t end = rest.find('\x1e');
    parts[i] = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  }
  parts[N - 1] = rest;
  return parts;
}

}  // namespace dejavu

#endif  // DEJAVU_TESTS_FUZZ_PARTS_H_
