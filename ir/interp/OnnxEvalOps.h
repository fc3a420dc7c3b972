// Shared by the files that implement ONNX operators: the list of operators and what an implementation sees.
#ifndef DEJAVU_IR_INTERP_ONNXEVALOPS_H_
#define DEJAVU_IR_INTERP_ONNXEVALOPS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/interp/OnnxEval.h"

namespace dejavu::onnx_eval {

using Results = absl::StatusOr<std::vector<Tensor>>;

/// One evaluation. The table has checked that the number of inputs fits and that the required ones are there.
struct Call {
  const AttributeMap& attributes;
  absl::Span<const Tensor* const> inputs;
  int opset;
  const EvalOptions& options;

  /// A required input.
  [[nodiscard]] const Tensor& input(size_t index) const { return *inputs[index]; }
  /// An optional input; null if absent.
  [[nodiscard]] const Tensor* optional(size_t index) const { return index < inputs.size() ? inputs[index] : nullptr; }

  /// Attributes; an error if there is one of that name and another kind.
  [[nodiscard]] absl::StatusOr<int64_t> Int(std::string_view name, int64_t fallback) const;
  [[nodiscard]] absl::StatusOr<double> Float(std::string_view name, double fallback) const;
  [[nodiscard]] absl::StatusOr<std::string> String(std::string_view name, std::string_view fallback) const;
  [[nodiscard]] absl::StatusOr<std::optional<std::vector<int64_t>>> Ints(std::string_view name) const;

  /// The elements of the rank-0 or rank-1 integer input `index`, such as a shape or axes; nothing if the input is
  /// absent. An error if its contents are not known; `what` names it.
  [[nodiscard]] absl::StatusOr<std::optional<std::vector<int64_t>>> IntsInput(size_t index,
                                                                              std::string_view what) const;

  /// The same for an input that is there.
  [[nodiscard]] absl::StatusOr<std::vector<int64_t>> RequiredInts(size_t index, std::string_view what) const;

  /// A tensor of zeros; an error if it has more elements than the options allow.
  [[nodiscard]] absl::StatusOr<Tensor> Zeros(DType dtype, std::vector<int64_t> dims) const;
  /// A tensor of zeros to fill in; Unknown instead if an input's contents are not known (see IsDone).
  [[nodiscard]] absl::StatusOr<Tensor> NewResult(DType dtype, std::vector<int64_t> dims) const;
  /// Rounds the elements of a float tensor to its dtype where the options ask for it, and returns it as the only
  /// result.
  [[nodiscard]] Results Rounded(Tensor tensor) const;
};

/// True for a new result without elements to compute: of unknown contents, or empty.
[[nodiscard]] inline bool IsDone(const Tensor& result) { return result.floats.empty() && result.ints.empty(); }

[[nodiscard]] inline Results Single(Tensor tensor) {
  std::vector<Tensor> results;
  results.push_back(std::move(tensor));
  return results;
}

/// An error unless `tensor` has dtype `dtype`.
[[nodiscard]] absl::Status ExpectDType(const Tensor& tensor, DType dtype, std::string_view what);
/// An error unless both have the same dtype.
[[nodiscard]] absl::Status ExpectSameDType(const Tensor& a, const Tensor& b);
/// An error unless `tensor` has a float dtype.
[[nodiscard]] absl::Status ExpectFloat(const Tensor& tensor);

/// Inputs of a variadic operator.
inline constexpr int kMany = 1 << 20;

// clang-format off
/// Every operator, sorted by name: X(name, least inputs, most inputs). Each is implemented by a function EvalNAME of the
/// family's file; the inputs up to the least number are required.
#define DEJAVU_ONNX_OPS(X) \
  X(Abs, 1, 1)             X(Add, 2, 2)                X(And, 2, 2)             X(Cast, 1, 1)           \
  X(CastLike, 2, 2)        X(Clip, 1, 3)               X(Concat, 1, kMany)      X(Constant, 0, 0)       \
  X(ConstantOfShape, 1, 1) X(CumSum, 2, 2)             X(Div, 2, 2)             X(Dropout, 1, 3)        \
  X(Equal, 2, 2)           X(Erf, 1, 1)                X(Exp, 1, 1)             X(Expand, 2, 2)         \
  X(Flatten, 1, 1)         X(Gather, 2, 2)             X(GatherElements, 2, 2)  X(GatherND, 2, 2)       \
  X(Gemm, 2, 3)            X(Greater, 2, 2)            X(GreaterOrEqual, 2, 2)  X(Identity, 1, 1)       \
  X(IsInf, 1, 1)           X(IsNaN, 1, 1)              X(LayerNormalization, 2, 3) X(Less, 2, 2)        \
  X(LessOrEqual, 2, 2)     X(Log, 1, 1)                X(MatMul, 2, 2)          X(Max, 1, kMany)        \
  X(Min, 1, kMany)         X(Mod, 2, 2)                X(Mul, 2, 2)             X(Neg, 1, 1)            \
  X(Not, 1, 1)             X(Or, 2, 2)                 X(Pow, 2, 2)             X(Range, 3, 3)          \
  X(Reciprocal, 1, 1)      X(ReduceMax, 1, 2)          X(ReduceMean, 1, 2)      X(ReduceMin, 1, 2)      \
  X(ReduceProd, 1, 2)      X(ReduceSum, 1, 2)          X(Relu, 1, 1)            X(Reshape, 2, 2)        \
  X(ScatterND, 3, 3)       X(Shape, 1, 1)              X(Sigmoid, 1, 1)         X(Size, 1, 1)           \
  X(Slice, 3, 5)           X(Softmax, 1, 1)            X(Split, 1, 2)           X(Sqrt, 1, 1)           \
  X(Squeeze, 1, 2)         X(Sub, 2, 2)                X(Tanh, 1, 1)            X(Tile, 2, 2)           \
  X(Transpose, 1, 1)       X(Trilu, 1, 2)              X(Unsqueeze, 1, 2)       X(Where, 3, 3)          \
  X(Xor, 2, 2)
// clang-format on

#define DEJAVU_DECLARE_ONNX_OP(name, least, most) [[nodiscard]] Results Eval##name(const Call& call);
DEJAVU_ONNX_OPS(DEJAVU_DECLARE_ONNX_OP)
#undef DEJAVU_DECLARE_ONNX_OP

}  // namespace dejavu::onnx_eval

#endif  // DEJAVU_IR_INTERP_ONNXEVALOPS_H_
