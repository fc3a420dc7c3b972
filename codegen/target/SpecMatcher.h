// Checks a KernelSpec piece by piece; the first thing that is wrong is the status.
#ifndef DEJAVU_CODEGEN_TARGET_SPECMATCHER_H_
#define DEJAVU_CODEGEN_TARGET_SPECMATCHER_H_

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "codegen/target/KernelSpec.h"
#include "ir/base/Status.h"

namespace dejavu {

/// After a failed check every later one is skipped and getters return harmless values, so that callers check once, at
/// the end. Keeps a reference to the spec.
class SpecMatcher {
 public:
  /// `operands` and `results` are the numbers of arguments that the kernel takes, optional ones included.
  SpecMatcher(const KernelSpec& spec, size_t operands, size_t results);

  /// The operand, which must be present and have one of `dtypes` and the rank; a scalar type after a failed check.
  Type Operand(size_t index, std::string_view name, std::initializer_list<DType> dtypes, size_t rank);
  /// As Operand, but nullopt where the operand is absent.
  std::optional<Type> Optional(size_t index, std::string_view name, std::initializer_list<DType> dtypes, size_t rank);
  Type Result(size_t index, std::string_view name, std::initializer_list<DType> dtypes, size_t rank);

  /// The size of a static dimension, 1 after a failed check; Width also wants a multiple of kWidthMultiple.
  int64_t Size(const Type& type, size_t axis, std::string_view name);
  int64_t Width(const Type& type, size_t axis, std::string_view name);
  /// A dimension of tokens: the symbol "tokens" or a number from 1.
  Dim Tokens(const Type& type, size_t axis, std::string_view name);
  /// Fails unless `type` has exactly `shape`.
  void ExpectShape(const Type& type, const Shape& shape, std::string_view name);

  template <typename T>
  T Attribute(std::string_view name, T missing);
  template <typename... Args>
  void Require(bool condition, const Args&... message) {
    if (!condition) {
      Fail(absl::StrCat(message...));
    }
  }

  [[nodiscard]] const absl::Status& status() const { return status_; }

 private:
  void Fail(absl::string_view message);
  bool CheckType(const Type& type, std::string_view name, std::initializer_list<DType> dtypes, size_t rank);

  const KernelSpec& spec_;
  absl::Status status_;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_TARGET_SPECMATCHER_H_
