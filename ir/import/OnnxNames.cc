#include "ir/import/OnnxNames.h"

#include <algorithm>
#include <array>

#include "absl/strings/escaping.h"

namespace dejavu {
namespace {

constexpr size_t kLongestName = 4096;
constexpr size_t kLongestInMessage = 200;

bool IsIdentifierStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsIdentifierChar(char c) { return IsIdentifierStart(c) || (c >= '0' && c <= '9'); }

/// Bytes of the UTF-8 sequence at the start of `text`; 0 if it is not valid (overlong, a surrogate, above U+10FFFF).
size_t SequenceLength(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) {
    return 1;
  }
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) {
    return 0;
  }
  uint32_t code = lead & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if ((byte & 0xC0U) != 0x80U) {
      return 0;
    }
    code = code << 6U | (byte & 0x3FU);
  }
  constexpr std::array<uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  return code < kSmallest[length] || surrogate || code > 0x10FFFF ? 0 : length;
}

bool IsPrintable(std::string_view text) {
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const size_t length = SequenceLength(text);
    if (length == 0 || byte < 0x20 || byte == 0x7F) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string QuotedName(std::string_view name) {
  std::string text(name.substr(0, kLongestInMessage));
  if (!IsPrintable(text)) {
    text = absl::CHexEscape(text);
  }
  return absl::StrCat("'", text, name.size() > kLongestInMessage ? "..." : "", "'");
}

absl::Status CheckName(std::string_view name, std::string_view what) {
  if (name.size() > kLongestName) {
    return UserError("the name of ", std::string(what), " ", QuotedName(name), " has more than ", kLongestName,
                     " bytes");
  }
  if (!IsPrintable(name)) {
    return UserError("the name of ", std::string(what), " ", QuotedName(name),
                     " has control characters or is not UTF-8");
  }
  return absl::OkStatus();
}

std::string DimSymbols::Get(const std::string& name, const std::string& fallback) {
  if (const auto it = symbols_.find(name); !name.empty() && it != symbols_.end()) {
    return it->second;
  }
  std::string symbol = name.substr(0, kLongestInMessage);
  std::replace_if(symbol.begin(), symbol.end(), [](char c) { return !IsIdentifierChar(c); }, '_');
  if (symbol.empty() || !IsIdentifierStart(symbol[0]) || taken_.contains(symbol)) {
    symbol = fallback;
  }
  const std::string base = symbol;
  for (int suffix = 1; !taken_.insert(symbol).second; ++suffix) {
    symbol = absl::StrCat(base, "_", suffix);
  }
  if (!name.empty()) {
    symbols_[name] = symbol;
  }
  return symbol;
}

}  // namespace dejavu
