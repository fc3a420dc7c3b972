// Types of values: an element type and a shape whose dimensions are numbers or named symbols.
#ifndef DEJAVU_IR_CORE_TYPE_H_
#define DEJAVU_IR_CORE_TYPE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ir/base/DType.h"

namespace dejavu {

/// One dimension: a number, or a symbol that stands for one number in a whole function (tokens, past, context, active).
class Dim {
 public:
  Dim(int64_t size) : size_(size) {}                       // NOLINT(google-explicit-constructor): dims read as literals
  Dim(std::string symbol) : symbol_(std::move(symbol)) {}  // NOLINT(google-explicit-constructor)
  Dim(const char* symbol) : symbol_(symbol) {}             // NOLINT(google-explicit-constructor)
  [[nodiscard]] bool is_static() const { return symbol_.empty(); }
  /// The number; only for a static dimension.
  [[nodiscard]] int64_t size() const { return size_; }
  /// The symbol; empty for a static dimension.
  [[nodiscard]] const std::string& symbol() const { return symbol_; }
  [[nodiscard]] std::string ToString() const { return is_static() ? std::to_string(size_) : symbol_; }
  friend bool operator==(const Dim&, const Dim&) = default;

 private:
  int64_t size_ = 0;
  std::string symbol_;
};

using Shape = std::vector<Dim>;

/// A tensor type, printed as `f16<3072, 768>`, `f32<tokens, 768>` or, for a scalar, `i64<>`.
struct Type {
  DType dtype = DType::kF32;
  Shape shape;

  [[nodiscard]] std::string ToString() const;
  [[nodiscard]] bool is_static() const;
  [[nodiscard]] size_t rank() const { return shape.size(); }
  /// The number of elements; only for a static type.
  [[nodiscard]] int64_t NumElements() const;
  friend bool operator==(const Type&, const Type&) = default;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_TYPE_H_
