#include "runtime/text/PreTokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <utility>

#include "ir/base/Status.h"
#include "runtime/text/Utf8.h"

namespace dejavu {
namespace {

// Insides of character classes, spelled out where \s, \p{L} and \p{N} depend on the library's version or differ from
// the Unicode 16 that Hugging Face's tokenizers know: PCRE2's \s has U+180E, which is no space since Unicode 6.3.
constexpr std::string_view kSpace =
    R"(\t-\r\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
// Letters that came after Unicode 14.
constexpr std::string_view kLetter =
    R"(\p{L})"
    R"(\x{1C89}-\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}\x{105C0}-\x{105F3}\x{10D4A}-\x{10D65})"
    R"(\x{10D6F}-\x{10D85}\x{10EC2}-\x{10EC4}\x{1123F}-\x{11240}\x{11380}-\x{11389}\x{1138B}\x{1138E})"
    R"(\x{11390}-\x{113B5}\x{113B7}\x{113D1}\x{113D3}\x{11BC0}-\x{11BE0}\x{11F02}\x{11F04}-\x{11F10})"
    R"(\x{11F12}-\x{11F33}\x{1342F}\x{13441}-\x{13446}\x{13460}-\x{143FA}\x{16100}-\x{1611D}\x{16D40}-\x{16D6C})"
    R"(\x{18CFF}\x{1B132}\x{1B155}\x{1DF25}-\x{1DF2A}\x{1E030}-\x{1E06D}\x{1E4D0}-\x{1E4EB}\x{1E5D0}-\x{1E5ED})"
    R"(\x{1E5F0}\x{2B739}\x{2EBF0}-\x{2EE5D}\x{31350}-\x{323AF})";
// Digits and other numbers that came after Unicode 14.
constexpr std::string_view kNumber =
    R"(\p{N})"
    R"(\x{10D40}-\x{10D49}\x{116D0}-\x{116E3}\x{11BF0}-\x{11BF9}\x{11F50}-\x{11F59}\x{16130}-\x{16139})"
    R"(\x{16D70}-\x{16D79}\x{1CCF0}-\x{1CCF9}\x{1D2C0}-\x{1D2D3}\x{1E4F0}-\x{1E4F9}\x{1E5F1}-\x{1E5FA})";

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::string Pattern() {
  const std::string space(kSpace);
  const std::string letter(kLetter);
  const std::string number(kNumber);
  return absl::StrCat("'(?:s|t|re|ve|m|ll|d)| ?[", letter, "]+| ?[", number, "]+| ?[^", space, letter, number, "]+|[",
                      space, "]+(?![^", space, "])|[", space, "]+");
}

std::string ErrorText(int code) {
  std::array<PCRE2_UCHAR, 256> text = {};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    if (!character.valid) {
      return false;
    }
    text.remove_prefix(character.length);
  }
  return true;
}

// `text` with a U+FFFD, which is a symbol, in place of each byte that is not UTF-8.
std::string ReplaceInvalid(std::string_view text) {
  std::string replaced;
  while (!text.empty()) {
    const Utf8Character character = ReadUtf8(text);
    const size_t length = character.valid ? character.length : 1;
    replaced.append(character.valid ? text.substr(0, length) : kReplacementCharacter);
    text.remove_prefix(length);
  }
  return replaced;
}

// How many bytes at the start of `original` ReplaceInvalid() turned into the first `length` bytes of its result.
size_t OriginalLength(std::string_view original, size_t length) {
  size_t done = 0;
  while (length > 0) {
    const Utf8Character character = ReadUtf8(original.substr(done));
    done += character.valid ? character.length : 1;
    length -= character.valid ? character.length : kReplacementCharacter.size();
  }
  return done;
}

}  // namespace

absl::StatusOr<PreTokenizer> PreTokenizer::Create() {
  const std::string pattern = Pattern();
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code == nullptr) {
    return BugError("the tokenizer's pattern does not compile at ", offset, ": ", ErrorText(error));
  }
  // Where there is no compiler for this processor, matching interprets the pattern.
  static_cast<void>(pcre2_jit_compile(code, PCRE2_JIT_COMPLETE));
  return PreTokenizer(code);
}

void PreTokenizer::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

absl::StatusOr<std::vector<std::string_view>> PreTokenizer::Split(std::string_view text) const {
  const bool is_utf8 = IsUtf8(text);
  const std::string replaced = is_utf8 ? "" : ReplaceInvalid(text);
  ASSIGN_OR_RETURN(const std::vector<size_t> lengths, PieceLengths(is_utf8 ? text : replaced));
  std::vector<std::string_view> pieces;
  pieces.reserve(lengths.size());
  for (const size_t length : lengths) {
    pieces.push_back(text.substr(0, is_utf8 ? length : OriginalLength(text, length)));
    text.remove_prefix(pieces.back().size());
  }
  return pieces;
}

absl::StatusOr<std::vector<size_t>> PreTokenizer::PieceLengths(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  if (match == nullptr) {
    return BugError("the tokenizer has no memory to match its pattern");
  }
  const PCRE2_SIZE* range = pcre2_get_ovector_pointer(match.get());
  std::vector<size_t> lengths;
  for (size_t at = 0; at < text.size(); at += lengths.back()) {
    const int result = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), at,
                                   PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, match.get(), nullptr);
    if (result < 0) {
      return BugError("the tokenizer's pattern fails at byte ", at, " of its text: ", ErrorText(result));
    }
    lengths.push_back(range[1] - at);
  }
  return lengths;
}

}  // namespace dejavu
