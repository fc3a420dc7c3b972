#include "codegen/target/SpecMatcher.h"

#include <string>
#include <variant>

#include "codegen/target/KernelShapes.h"

namespace dejavu {
namespace {

// absl's string_view is its own type in the oldest supported release.
absl::string_view View(std::string_view text) { return absl::string_view(text.data(), text.size()); }

}  // namespace

SpecMatcher::SpecMatcher(const KernelSpec& spec, size_t operands, size_t results) : spec_(spec) {
  Require(spec.operands.size() == operands, "takes ", operands, " operands, not ", spec.operands.size());
  Require(spec.results.size() == results, "has ", results, " results, not ", spec.results.size());
}

void SpecMatcher::Fail(absl::string_view message) {
  if (status_.ok()) {
    status_ = absl::UnimplementedError(absl::StrCat("kernel '", spec_.kernel, "': ", message));
  }
}

bool SpecMatcher::CheckType(const Type& type, std::string_view name, std::initializer_list<DType> dtypes, size_t rank) {
  bool known = false;
  std::string expected;
  for (const DType dtype : dtypes) {
    known = known || type.dtype == dtype;
    expected += (expected.empty() ? "" : " or ") + std::string(DTypeName(dtype));
  }
  Require(known && type.rank() == rank, View(name), " must be ", expected, " of rank ", rank, ", not ",
          type.ToString());
  return status_.ok();
}

std::optional<Type> SpecMatcher::Optional(size_t index, std::string_view name, std::initializer_list<DType> dtypes,
                                          size_t rank) {
  if (!status_.ok() || !spec_.operands[index].has_value() || !CheckType(*spec_.operands[index], name, dtypes, rank)) {
    return std::nullopt;
  }
  return spec_.operands[index];
}

Type SpecMatcher::Operand(size_t index, std::string_view name, std::initializer_list<DType> dtypes, size_t rank) {
  const std::optional<Type> type = Optional(index, name, dtypes, rank);
  Require(type.has_value(), "operand ", View(name), " is missing");
  return type.value_or(Type{});
}

Type SpecMatcher::Result(size_t index, std::string_view name, std::initializer_list<DType> dtypes, size_t rank) {
  if (!status_.ok() || !CheckType(spec_.results[index], name, dtypes, rank)) {
    return Type{};
  }
  return spec_.results[index];
}

int64_t SpecMatcher::Size(const Type& type, size_t axis, std::string_view name) {
  if (!status_.ok()) {
    return 1;
  }
  const Dim& dim = type.shape[axis];
  Require(dim.is_static() && dim.size() > 0, View(name), " must have a known size, not ", dim.ToString());
  return status_.ok() ? dim.size() : 1;
}

int64_t SpecMatcher::Width(const Type& type, size_t axis, std::string_view name) {
  const int64_t size = Size(type, axis, name);
  if (status_.ok()) {
    Require(size % kWidthMultiple == 0 && size <= kMaxWidth, View(name), " must be a multiple of ", kWidthMultiple,
            " up to ", kMaxWidth, ", not ", size);
  }
  return size;
}

Dim SpecMatcher::Tokens(const Type& type, size_t axis, std::string_view name) {
  if (!status_.ok()) {
    return Dim(1);
  }
  const Dim& dim = type.shape[axis];
  Require(dim.is_static() ? dim.size() > 0 : dim.symbol() == "tokens", View(name),
          " must be a number or 'tokens', not ", dim.ToString());
  return dim;
}

void SpecMatcher::ExpectShape(const Type& type, const Shape& shape, std::string_view name) {
  if (status_.ok() && type.shape != shape) {
    Require(false, View(name), " must be ", Type{type.dtype, shape}.ToString(), ", not ", type.ToString());
  }
}

template <typename T>
T SpecMatcher::Attribute(std::string_view name, T missing) {
  const auto found = spec_.attributes.find(name);
  if (found == spec_.attributes.end()) {
    return missing;
  }
  const T* value = std::get_if<T>(&found->second);
  Require(value != nullptr, "attribute ", View(name), " has a wrong type");
  return value == nullptr ? missing : *value;
}

template bool SpecMatcher::Attribute(std::string_view, bool);
template int64_t SpecMatcher::Attribute(std::string_view, int64_t);
template double SpecMatcher::Attribute(std::string_view, double);

}  // namespace dejavu
