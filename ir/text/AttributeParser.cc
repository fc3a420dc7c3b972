#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "ir/text/Parser.h"

namespace dejavu {
namespace {

std::optional<int64_t> ToInteger(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::optional<double> ToNumber(std::string_view text) {
  if (text == "inf") {
    return std::numeric_limits<double>::infinity();
  }
  if (text == "-inf") {
    return -std::numeric_limits<double>::infinity();
  }
  if (text == "nan") {
    return std::numeric_limits<double>::quiet_NaN();
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

absl::StatusOr<int64_t> TakeInteger(Lexer& lexer) {
  const std::optional<int64_t> value =
      lexer.token().kind == TokenKind::kNumber ? ToInteger(lexer.token().text) : std::nullopt;
  if (!value) {
    return lexer.Error("expected an integer, but found " + lexer.Found());
  }
  lexer.Advance();
  return *value;
}

absl::StatusOr<Attribute> ParseScalar(Lexer& lexer) {
  const Token token = lexer.token();
  if (token.kind == TokenKind::kString) {
    lexer.Advance();
    return Attribute(token.text);
  }
  if (token.kind == TokenKind::kIdentifier && (token.text == "true" || token.text == "false")) {
    lexer.Advance();
    return Attribute(token.text == "true");
  }
  if (token.kind == TokenKind::kNumber) {
    if (std::optional<int64_t> integer = ToInteger(token.text)) {
      lexer.Advance();
      return Attribute(*integer);
    }
  }
  if (token.kind == TokenKind::kNumber || token.kind == TokenKind::kIdentifier) {
    if (std::optional<double> number = ToNumber(token.text)) {
      lexer.Advance();
      return Attribute(*number);
    }
  }
  return lexer.Error("expected an attribute value, but found " + lexer.Found());
}

absl::StatusOr<Attribute> ParseLiteral(Lexer& lexer, DType dtype) {
  TensorLiteral literal;
  literal.dtype = dtype;
  RETURN_IF_ERROR(lexer.Expect("<"));
  int64_t expected = 1;
  while (!lexer.AtPunct(">")) {
    ASSIGN_OR_RETURN(const int64_t dim, TakeInteger(lexer));
    if (dim < 0 || dim > (1 << 20) || expected * dim > (1 << 20)) {
      return lexer.Error("a constant's dimension must be between 0 and 1048576; use a weight for larger tensors");
    }
    expected *= dim;
    literal.dims.push_back(dim);
    if (!lexer.Accept(",")) {
      break;
    }
  }
  RETURN_IF_ERROR(lexer.Expect(">"));
  RETURN_IF_ERROR(lexer.Expect("["));
  while (!lexer.AtPunct("]")) {
    if (IsFloat(dtype)) {
      const std::optional<double> value = ToNumber(lexer.token().text);
      if (!value) {
        return lexer.Error("expected a number, but found " + lexer.Found());
      }
      literal.floats.push_back(*value);
      lexer.Advance();
    } else {
      ASSIGN_OR_RETURN(const int64_t value, TakeInteger(lexer));
      literal.ints.push_back(value);
    }
    if (!lexer.Accept(",")) {
      break;
    }
  }
  RETURN_IF_ERROR(lexer.Expect("]"));
  const auto count = static_cast<int64_t>(literal.floats.size() + literal.ints.size());
  if (count != expected) {
    return lexer.Error(absl::StrCat("the constant needs ", expected, " elements, but has ", count));
  }
  return Attribute(std::move(literal));
}

}  // namespace

absl::StatusOr<Attribute> ParseAttribute(Lexer& lexer) {
  if (lexer.Accept("[")) {
    std::vector<int64_t> ints;
    while (!lexer.AtPunct("]")) {
      ASSIGN_OR_RETURN(const int64_t value, TakeInteger(lexer));
      ints.push_back(value);
      if (!lexer.Accept(",")) {
        break;
      }
    }
    RETURN_IF_ERROR(lexer.Expect("]"));
    return Attribute(std::move(ints));
  }
  if (lexer.token().kind == TokenKind::kIdentifier) {
    if (std::optional<DType> dtype = ParseDType(lexer.token().text)) {
      lexer.Advance();
      return ParseLiteral(lexer, *dtype);
    }
  }
  return ParseScalar(lexer);
}

}  // namespace dejavu
