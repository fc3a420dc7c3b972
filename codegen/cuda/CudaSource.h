// Writes the translation unit of a model's kernels.
#ifndef DEJAVU_CODEGEN_CUDA_CUDASOURCE_H_
#define DEJAVU_CODEGEN_CUDA_CUDASOURCE_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/target/KernelTable.h"

namespace dejavu {

/// The value of a kernel's template parameter: `Type{.name = value, ...}`.
class ShapeText {
 public:
  explicit ShapeText(std::string_view type);

  ShapeText& Int(std::string_view field, int64_t value);
  ShapeText& Bool(std::string_view field, bool value);
  ShapeText& Float(std::string_view field, float value);
  ShapeText& Type(std::string_view field, DType value);
  /// A nested aggregate.
  ShapeText& Nested(std::string_view field, const ShapeText& value);

  [[nodiscard]] std::string Text() const { return text_ + "}"; }

 private:
  ShapeText& Field(std::string_view field, std::string_view value);

  std::string text_;
  bool empty_ = true;
};

/// One kernel of a translation unit: a template, what it is instantiated with, and how it is launched.
struct CudaKernel {
  std::string_view header;             ///< Linear.cuh
  std::string_view function;           ///< Linear
  std::vector<std::string_view> args;  ///< Operands, then results.
  ShapeText shape;
  LaunchGrid grid;
  bool lets_next_start_first = false;
};

class CudaSource final : public EmitContext {
 public:
  explicit CudaSource(std::string_view isa) : isa_(isa) {}

  [[nodiscard]] const std::string& isa() const { return isa_; }
  /// Adds the kernel under the name `symbol`, once.
  void Add(std::string_view symbol, const CudaKernel& kernel);
  /// Adds a kernel with the arguments of all `parts`, argument `x` of part 0 being `x0`, once. `body` is what it does
  /// with them, with `dims` and, where the grid has some, with `scratch`; `header` is one that the parts' don't
  /// include.
  void AddJoint(std::string_view symbol, const std::vector<CudaKernel>& parts, const LaunchGrid& grid,
                std::string_view header, std::string_view body);
  /// Adds a kernel that the runtime calls by itself, as text.
  void AddText(std::string_view header, std::string_view text);
  [[nodiscard]] std::string Text() const;

 private:
  void AddFunction(std::string_view symbol, const LaunchGrid& grid, std::string_view parameters, std::string_view body);

  std::string isa_;
  std::set<std::string> headers_;
  std::set<std::string> symbols_;
  std::string kernels_;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_CUDASOURCE_H_
