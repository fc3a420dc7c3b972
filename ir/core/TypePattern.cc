#include "ir/core/TypePattern.h"

#include <cctype>
#include <vector>

namespace dejavu {
namespace {

struct Pattern {
  std::string_view dtype;
  bool any_rank = false;
  std::vector<std::string_view> dims;
};

Pattern Split(std::string_view text) {
  Pattern pattern;
  const size_t open = text.find('<');
  pattern.dtype = text.substr(0, open);
  std::string_view rest = text.substr(open + 1, text.size() - open - 2);
  if (rest == "...") {
    pattern.any_rank = true;
    return pattern;
  }
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    pattern.dims.push_back(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(rest.find_first_not_of(' ', comma + 1));
  }
  return pattern;
}

bool MatchDType(std::string_view pattern, DType dtype) {
  if (pattern == "any") {
    return true;
  }
  if (pattern == "float") {
    return IsFloat(dtype);
  }
  if (pattern == "int") {
    return !IsFloat(dtype) && dtype != DType::kIndex;
  }
  return ParseDType(pattern) == dtype;
}

/// A pattern's dimension: `coefficient` times the variable, or a fixed size or symbol if `variable` is 0.
struct DimPattern {
  int64_t coefficient = 1;
  char variable = 0;
  Dim fixed{int64_t{0}};
};

DimPattern ParseDim(std::string_view text) {
  DimPattern pattern;
  size_t digits = 0;
  int64_t number = 0;
  while (digits < text.size() && std::isdigit(static_cast<unsigned char>(text[digits])) != 0) {
    number = number * 10 + (text[digits++] - '0');
  }
  if (digits == text.size()) {
    pattern.fixed = Dim(number);
  } else if (digits + 1 == text.size() && std::isupper(static_cast<unsigned char>(text[digits])) != 0) {
    pattern.variable = text[digits];
    pattern.coefficient = digits > 0 ? number : 1;
  } else {
    pattern.fixed = Dim(std::string(text));
  }
  return pattern;
}

bool MatchDim(const DimPattern& pattern, const Dim& dim, DimBindings& bindings) {
  if (pattern.variable == 0) {
    return pattern.fixed == dim;
  }
  Dim unit = dim;
  if (pattern.coefficient != 1) {
    if (!dim.is_static() || dim.size() % pattern.coefficient != 0) {
      return false;
    }
    unit = Dim(dim.size() / pattern.coefficient);
  }
  return bindings.emplace(pattern.variable, unit).first->second == unit;
}

std::optional<Dim> InstantiateDim(const DimPattern& pattern, const DimBindings& bindings) {
  if (pattern.variable == 0) {
    return pattern.fixed;
  }
  auto it = bindings.find(pattern.variable);
  if (it == bindings.end()) {
    return std::nullopt;
  }
  if (pattern.coefficient == 1) {
    return it->second;
  }
  if (!it->second.is_static()) {
    return std::nullopt;
  }
  return Dim(it->second.size() * pattern.coefficient);
}

}  // namespace

bool MatchTypePattern(std::string_view text, const Type& type, DimBindings& bindings) {
  const Pattern pattern = Split(text);
  if (!MatchDType(pattern.dtype, type.dtype)) {
    return false;
  }
  if (pattern.any_rank) {
    return true;
  }
  if (pattern.dims.size() != type.rank()) {
    return false;
  }
  for (size_t i = 0; i < pattern.dims.size(); ++i) {
    if (!MatchDim(ParseDim(pattern.dims[i]), type.shape[i], bindings)) {
      return false;
    }
  }
  return true;
}

std::optional<Type> InstantiateTypePattern(std::string_view text, const DimBindings& bindings) {
  const Pattern pattern = Split(text);
  const std::optional<DType> dtype = ParseDType(pattern.dtype);
  if (!dtype || pattern.any_rank) {
    return std::nullopt;
  }
  Type type{*dtype, {}};
  for (std::string_view dim_text : pattern.dims) {
    std::optional<Dim> dim = InstantiateDim(ParseDim(dim_text), bindings);
    if (!dim) {
      return std::nullopt;
    }
    type.shape.push_back(*dim);
  }
  return type;
}

std::string FillTypePattern(std::string_view text, const DimBindings& bindings) {
  const Pattern pattern = Split(text);
  if (pattern.any_rank) {
    return std::string(text);
  }
  std::string filled(pattern.dtype);
  filled += "<";
  for (size_t i = 0; i < pattern.dims.size(); ++i) {
    const std::optional<Dim> dim = InstantiateDim(ParseDim(pattern.dims[i]), bindings);
    filled += (i > 0 ? ", " : "") + (dim ? dim->ToString() : std::string(pattern.dims[i]));
  }
  return filled + ">";
}

}  // namespace dejavu
