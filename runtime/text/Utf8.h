// UTF-8 of unknown quality: reads one character at a time and never past the end.
#ifndef DEJAVU_RUNTIME_TEXT_UTF8_H_
#define DEJAVU_RUNTIME_TEXT_UTF8_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace dejavu {

/// U+FFFD in UTF-8, which stands for bytes that are not UTF-8.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

/// The start of a text, read as one character.
struct Utf8Character {
  char32_t code_point = 0;  // only where valid
  size_t length = 0;   // bytes of the character; where invalid, bytes that Unicode replaces by one U+FFFD; 0 at the end
  bool valid = false;  // not overlong, no surrogate, at most U+10FFFF
  bool truncated = false;  // invalid only because the text ends; more bytes may make it valid
};

[[nodiscard]] Utf8Character ReadUtf8(std::string_view text);

/// Appends `code_point`, which must not be a surrogate or above U+10FFFF.
void AppendUtf8(char32_t code_point, std::string& text);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_TEXT_UTF8_H_
