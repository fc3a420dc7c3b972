#include "runtime/text/ByteSymbols.h"

#include <array>

#include "runtime/text/Utf8.h"

namespace dejavu {
namespace {

constexpr char32_t kFirstShifted = 0x100;
constexpr size_t kAlphabetEnd = 0x144;  // 256 + the 68 bytes that do not stand for themselves

constexpr bool StandsForItself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<char32_t, 256> MakeSymbols() {
  std::array<char32_t, 256> symbols = {};
  char32_t shifted = kFirstShifted;
  for (unsigned byte = 0; byte < 256; ++byte) {
    symbols[byte] = StandsForItself(byte) ? byte : shifted++;
  }
  return symbols;
}

constexpr std::array<char32_t, 256> kSymbols = MakeSymbols();

// The byte of each symbol, or -1.
constexpr std::array<int16_t, kAlphabetEnd> MakeBytes() {
  std::array<int16_t, kAlphabetEnd> bytes = {};
  bytes.fill(-1);
  for (unsigned byte = 0; byte < 256; ++byte) {
    bytes[kSymbols[byte]] = static_cast<int16_t>(byte);
  }
  return bytes;
}

constexpr std::array<int16_t, kAlphabetEnd> kBytes = MakeBytes();

}  // namespace

std::string ByteSymbol(uint8_t byte) {
  std::string symbol;
  AppendUtf8(kSymbols[byte], symbol);
  return symbol;
}

std::string BytesOfToken(std::string_view token) {
  std::string bytes;
  for (std::string_view rest = token; !rest.empty();) {
    const Utf8Character character = ReadUtf8(rest);
    if (!character.valid || character.code_point >= kAlphabetEnd || kBytes[character.code_point] < 0) {
      return std::string(token);
    }
    bytes.push_back(static_cast<char>(kBytes[character.code_point]));
    rest.remove_prefix(character.length);
  }
  return bytes;
}

}  // namespace dejavu
