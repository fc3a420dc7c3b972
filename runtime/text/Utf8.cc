#include "runtime/text/Utf8.h"

namespace dejavu {
namespace {

struct Lead {
  size_t length = 0;  // 0 for a byte that starts no character
  char32_t bits = 0;
  // Limits of the second byte; they exclude overlong forms, surrogates and what lies above U+10FFFF.
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
};

Lead ReadLead(uint8_t byte) {
  if (byte < 0x80) {
    return {1, byte};
  }
  if (byte >= 0xC2 && byte <= 0xDF) {
    return {2, byte & 0x1FU};
  }
  if (byte >= 0xE0 && byte <= 0xEF) {
    const uint8_t low = byte == 0xE0 ? 0xA0 : 0x80;
    const uint8_t high = byte == 0xED ? 0x9F : 0xBF;
    return {3, byte & 0x0FU, low, high};
  }
  if (byte >= 0xF0 && byte <= 0xF4) {
    const uint8_t low = byte == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = byte == 0xF4 ? 0x8F : 0xBF;
    return {4, byte & 0x07U, low, high};
  }
  return {};
}

}  // namespace

Utf8Character ReadUtf8(std::string_view text) {
  if (text.empty()) {
    return {};
  }
  Lead lead = ReadLead(static_cast<uint8_t>(text[0]));
  if (lead.length == 0) {
    return {.code_point = 0, .length = 1, .valid = false, .truncated = false};
  }
  char32_t code_point = lead.bits;
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == text.size()) {
      return {.code_point = 0, .length = i, .valid = false, .truncated = true};
    }
    const auto byte = static_cast<uint8_t>(text[i]);
    if (byte < lead.low || byte > lead.high) {
      return {.code_point = 0, .length = i, .valid = false, .truncated = false};
    }
    code_point = (code_point << 6U) | (byte & 0x3FU);
    lead.low = 0x80;
    lead.high = 0xBF;
  }
  return {.code_point = code_point, .length = lead.length, .valid = true, .truncated = false};
}

void AppendUtf8(char32_t code_point, std::string& text) {
  const auto tail = [&](unsigned shift) { text.push_back(static_cast<char>(0x80U | ((code_point >> shift) & 0x3FU))); };
  if (code_point < 0x80) {
    text.push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    text.push_back(static_cast<char>(0xC0U | (code_point >> 6U)));
    tail(0);
  } else if (code_point < 0x10000) {
    text.push_back(static_cast<char>(0xE0U | (code_point >> 12U)));
    tail(6);
    tail(0);
  } else {
    text.push_back(static_cast<char>(0xF0U | (code_point >> 18U)));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace dejavu
