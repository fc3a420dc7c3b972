#include "ir/text/Lexer.h"

#include <array>
#include <cctype>

namespace dejavu {
namespace {

bool IsNameStart(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool IsNameChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-' || c == '$';
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return -1;
}

}  // namespace

void Lexer::Skip() {
  while (pos_ < text_.size()) {
    const char c = text_[pos_];
    if (c == '\n') {
      pos_++;
      line_++;
      column_ = 1;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      Take();
    } else if (c == '/' && Peek(1) == '/') {
      while (pos_ < text_.size() && text_[pos_] != '\n') {
        Take();
      }
    } else {
      return;
    }
  }
}

void Lexer::Advance() {
  Skip();
  token_ = Token{TokenKind::kEnd, "", line_, column_};
  if (pos_ >= text_.size()) {
    return;
  }
  const char c = Peek();
  if (IsNameStart(c)) {
    LexName(TokenKind::kIdentifier);
  } else if (c == '%' || c == '@') {
    const TokenKind kind = c == '%' ? TokenKind::kPercent : TokenKind::kAt;
    Take();
    if (Peek() == '"') {
      LexString(kind);
    } else if (IsNameChar(Peek())) {
      LexName(kind);
    } else {
      token_.kind = TokenKind::kError;
      token_.text = c;
    }
  } else if (c == '"') {
    LexString(TokenKind::kString);
  } else if (c == '-' && Peek(1) == '>') {
    Take();
    Take();
    token_.kind = TokenKind::kPunct;
    token_.text = "->";
  } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '-') {
    LexNumber();
  } else {
    Take();
    token_.kind =
        std::string_view("(){}[]<>,:=").find(c) != std::string_view::npos ? TokenKind::kPunct : TokenKind::kError;
    token_.text = c;
  }
}

void Lexer::LexName(TokenKind kind) {
  token_.kind = kind;
  while (IsNameChar(Peek()) && !(Peek() == '-' && Peek(1) == '>')) {
    token_.text += Peek();
    Take();
  }
}

void Lexer::LexNumber() {
  token_.kind = TokenKind::kNumber;
  token_.text += Peek();
  Take();
  while (std::isalnum(static_cast<unsigned char>(Peek())) != 0 || Peek() == '.' ||
         ((Peek() == '-' || Peek() == '+') && (token_.text.back() == 'e'))) {
    token_.text += Peek();
    Take();
  }
}

void Lexer::LexString(TokenKind kind) {
  token_.kind = kind;
  Take();
  while (pos_ < text_.size() && Peek() != '"' && Peek() != '\n') {
    if (Peek() != '\\') {
      token_.text += Peek();
      Take();
      continue;
    }
    Take();
    const char escape = Peek();
    const int high = HexDigit(Peek(1));
    const int low = HexDigit(Peek(2));
    if (escape == '"' || escape == '\\') {
      token_.text += escape;
      Take();
    } else if (escape == 'x' && high >= 0 && low >= 0) {
      token_.text += static_cast<char>(high * 16 + low);
      Take(), Take(), Take();
    } else {
      token_.kind = TokenKind::kError;
      return;
    }
  }
  if (Peek() != '"') {
    token_.kind = TokenKind::kError;
    return;
  }
  Take();
}

bool Lexer::Accept(std::string_view punct) {
  if (AtPunct(punct) || AtWord(punct)) {
    Advance();
    return true;
  }
  return false;
}

absl::Status Lexer::Expect(std::string_view punct) {
  if (Accept(punct)) {
    return absl::OkStatus();
  }
  return Error(absl::StrCat("expected '", std::string(punct), "', but found ", Found()));
}

absl::Status Lexer::Error(std::string_view message) const { return ErrorAt(token_.line, token_.column, message); }

absl::Status Lexer::ErrorAt(int line, int column, std::string_view message) const {
  return UserError(std::string(file_), ":", line, ":", column, ": error: ", std::string(message));
}

std::string Lexer::Found() const {
  if (token_.kind == TokenKind::kEnd) {
    return "the end of the text";
  }
  if (token_.kind == TokenKind::kError) {
    return "a malformed token";
  }
  const std::string_view prefix = token_.kind == TokenKind::kPercent ? "%" : (token_.kind == TokenKind::kAt ? "@" : "");
  return absl::StrCat("'", std::string(prefix), token_.text, "'");
}

bool IsPlainName(std::string_view name) {
  if (name.empty() || name.back() == '-') {
    return false;
  }
  for (char c : name) {
    if (!IsNameChar(c)) {
      return false;
    }
  }
  return true;
}

std::string Quote(std::string_view name) {
  constexpr std::array<char, 16> kHex = {'0', '1', '2', '3', '4', '5', '6', '7',
                                         '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
  std::string quoted = "\"";
  for (char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      quoted += "\\x";
      quoted += kHex[byte >> 4U];
      quoted += kHex[byte & 15U];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace dejavu
