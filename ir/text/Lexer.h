// Tokens of IR text, pipelines and attribute values.
#ifndef DEJAVU_IR_TEXT_LEXER_H_
#define DEJAVU_IR_TEXT_LEXER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "ir/base/Status.h"

namespace dejavu {

enum class TokenKind : uint8_t {
  kEnd,
  kIdentifier,  // letters, digits, _ . - after a letter or _
  kPercent,     // %name; text without the %
  kAt,          // @name or @"any name"; text without the @ and the quotes
  kNumber,
  kString,  // text with escapes resolved
  kPunct,   // one of ( ) { } [ ] < > , : = or ->
  kError,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  int line = 1;
  int column = 1;
};

/// Splits `text` into tokens on demand; `//` starts a comment. `text` and `file` must outlive the lexer.
class Lexer {
 public:
  Lexer(std::string_view text, std::string_view file) : text_(text), file_(file) { Advance(); }

  [[nodiscard]] const Token& token() const { return token_; }
  void Advance();

  [[nodiscard]] bool AtPunct(std::string_view punct) const {
    return token_.kind == TokenKind::kPunct && token_.text == punct;
  }
  [[nodiscard]] bool AtWord(std::string_view word) const {
    return token_.kind == TokenKind::kIdentifier && token_.text == word;
  }
  /// Consumes the token if it is `punct` (or the identifier `punct`).
  bool Accept(std::string_view punct);
  absl::Status Expect(std::string_view punct);
  /// `file:line:column: error: message`, at the current token.
  [[nodiscard]] absl::Status Error(std::string_view message) const;
  [[nodiscard]] absl::Status ErrorAt(int line, int column, std::string_view message) const;
  /// The current token in words, for "expected X, but found Y".
  [[nodiscard]] std::string Found() const;

 private:
  void Skip();
  char Peek(size_t ahead = 0) const { return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0'; }
  void Take() { pos_++, column_++; }
  void LexName(TokenKind kind);
  void LexString(TokenKind kind);
  void LexNumber();

  std::string_view text_;
  std::string_view file_;
  size_t pos_ = 0;
  int line_ = 1;
  int column_ = 1;
  Token token_;
};

/// True if `name` needs no quotes after % or @.
[[nodiscard]] bool IsPlainName(std::string_view name);
/// `name` in quotes, with escapes for quotes, backslashes and control characters.
[[nodiscard]] std::string Quote(std::string_view name);

}  // namespace dejavu

#endif  // DEJAVU_IR_TEXT_LEXER_H_
