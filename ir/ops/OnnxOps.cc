#include "ir/ops/OnnxOps.h"

#include <algorithm>
#include <array>

#include "ir/ops/OnnxTypes.h"

namespace dejavu {
namespace {

/// An operator without operands and results yet. ONNX's optional attributes keep ONNX's defaults when they are absent.
constexpr OpSchema Op(std::string_view name, std::string_view summary) { return DefineOp(name, summary); }

constexpr OpSchema Unary(std::string_view name, std::string_view summary, std::string_view type = "float<...>",
                         std::string_view result = "") {
  return Op(name, summary).operand("x", type).result("y", result.empty() ? type : result);
}

constexpr OpSchema Binary(std::string_view name, std::string_view summary, std::string_view type = "any<...>",
                          std::string_view result = "") {
  return Op(name, summary).operand("a", type).operand("b", type).result("y", result.empty() ? type : result);
}

constexpr OpSchema Reduction(std::string_view name, std::string_view summary) {
  return Op(name, summary)
      .operand("x", "any<...>")
      .optionalOperand("axes", "i64<...>", "all dimensions if absent; an attribute in older opsets")
      .optionalAttr("axes", AttrKind::kInts)
      .optionalAttr("keepdims", AttrKind::kInt, "1 by default")
      .optionalAttr("noop_with_empty_axes", AttrKind::kInt)
      .result("y", "any<...>");
}

// Broadcasting is numpy's throughout; negative axes and indices count from the end. Sorted by name.
constexpr auto kSchemas = std::to_array<OpSchema>({
    Unary("onnx.Abs", "Absolute value.", "any<...>"),
    Binary("onnx.Add", "Sum, broadcasting."),
    Binary("onnx.And", "Logical and, broadcasting.", "bool<...>"),
    Unary("onnx.Cast", "Converts to another element type.", "any<...>")
        .attr("to", AttrKind::kInt, "ONNX's number of the element type")
        .optionalAttr("saturate", AttrKind::kInt),
    Op("onnx.CastLike", "Converts to the element type of another tensor.")
        .operand("x", "any<...>")
        .operand("target", "any<...>")
        .optionalAttr("saturate", AttrKind::kInt)
        .result("y", "any<...>"),
    Op("onnx.Clip", "Limits each element to a range.")
        .operand("x", "any<...>")
        .optionalOperand("min", "any<...>")
        .optionalOperand("max", "any<...>")
        .result("y", "any<...>"),
    Op("onnx.Concat", "Joins tensors along a dimension.")
        .variadicOperand("parts", "any<...>")
        .attr("axis", AttrKind::kInt)
        .result("y", "any<...>"),
    Op("onnx.Constant", "A tensor that stands in the program.")
        .attr("value", AttrKind::kTensor)
        .result("y", "any<...>"),
    Op("onnx.ConstantOfShape", "A tensor of one repeated value.")
        .operand("shape", "i64<...>")
        .optionalAttr("value", AttrKind::kTensor, "one element; f32 0 by default")
        .result("y", "any<...>"),
    Op("onnx.CumSum", "Running sums along a dimension.")
        .operand("x", "any<...>")
        .operand("axis", "int<...>")
        .optionalAttr("exclusive", AttrKind::kInt)
        .optionalAttr("reverse", AttrKind::kInt)
        .result("y", "any<...>"),
    Binary("onnx.Div", "Quotient, broadcasting; of integers truncated."),
    Op("onnx.Dropout", "Passes its input on: only inference is supported.")
        .operand("x", "any<...>")
        .optionalOperand("ratio", "any<...>")
        .optionalOperand("training_mode", "bool<...>", "absent or false")
        .optionalAttr("ratio", AttrKind::kFloat)
        .optionalAttr("seed", AttrKind::kInt)
        .result("y", "any<...>")
        .variadicResult("mask", "bool<...>"),
    Binary("onnx.Equal", "Comparison, broadcasting.", "any<...>", "bool<...>"),
    Unary("onnx.Erf", "The error function."),
    Unary("onnx.Exp", "e to the power of x."),
    Op("onnx.Expand", "Repeats dimensions of 1 by broadcasting to a shape.")
        .operand("x", "any<...>")
        .operand("shape", "i64<...>")
        .result("y", "any<...>"),
    Unary("onnx.Flatten", "Joins the dimensions before `axis`, and those from it on.", "any<...>")
        .optionalAttr("axis", AttrKind::kInt, "1 by default"),
    Op("onnx.Gather", "The slices of `data` along a dimension that `indices` names.")
        .operand("data", "any<...>")
        .operand("indices", "int<...>")
        .optionalAttr("axis", AttrKind::kInt)
        .result("y", "any<...>"),
    Op("onnx.GatherElements", "Replaces each index's coordinate along a dimension by the index.")
        .operand("data", "any<...>")
        .operand("indices", "int<...>")
        .optionalAttr("axis", AttrKind::kInt)
        .result("y", "any<...>"),
    Op("onnx.GatherND", "The slices of `data` that the rows of `indices` name.")
        .operand("data", "any<...>")
        .operand("indices", "i64<...>")
        .optionalAttr("batch_dims", AttrKind::kInt)
        .result("y", "any<...>"),
    Op("onnx.Gemm", "y = alpha A B + beta C.")
        .operand("a", "float<...>")
        .operand("b", "float<...>")
        .optionalOperand("c", "float<...>")
        .optionalAttr("alpha", AttrKind::kFloat)
        .optionalAttr("beta", AttrKind::kFloat)
        .optionalAttr("transA", AttrKind::kInt)
        .optionalAttr("transB", AttrKind::kInt)
        .result("y", "float<...>"),
    Binary("onnx.Greater", "Comparison, broadcasting.", "any<...>", "bool<...>"),
    Binary("onnx.GreaterOrEqual", "Comparison, broadcasting.", "any<...>", "bool<...>"),
    Unary("onnx.Identity", "Passes its input on.", "any<...>"),
    Unary("onnx.IsInf", "Whether an element is infinite.", "float<...>", "bool<...>")
        .optionalAttr("detect_negative", AttrKind::kInt)
        .optionalAttr("detect_positive", AttrKind::kInt),
    Unary("onnx.IsNaN", "Whether an element is NaN.", "float<...>", "bool<...>"),
    Op("onnx.LayerNormalization", "Normalises over the dimensions from `axis` on, then scales and shifts.")
        .operand("x", "float<...>")
        .operand("scale", "float<...>")
        .optionalOperand("bias", "float<...>")
        .optionalAttr("axis", AttrKind::kInt, "-1 by default")
        .optionalAttr("epsilon", AttrKind::kFloat, "1e-5 by default")
        .optionalAttr("stash_type", AttrKind::kInt)
        .result("y", "float<...>")
        .variadicResult("statistics", "f32<...>", "mean and 1 / standard deviation"),
    Binary("onnx.Less", "Comparison, broadcasting.", "any<...>", "bool<...>"),
    Binary("onnx.LessOrEqual", "Comparison, broadcasting.", "any<...>", "bool<...>"),
    Unary("onnx.Log", "Natural logarithm."),
    Binary("onnx.MatMul", "Matrix product; leading dimensions broadcast."),
    Op("onnx.Max", "The largest of the operands, broadcasting.")
        .variadicOperand("xs", "any<...>")
        .result("y", "any<...>"),
    Op("onnx.Min", "The smallest of the operands, broadcasting.")
        .variadicOperand("xs", "any<...>")
        .result("y", "any<...>"),
    Binary("onnx.Mod", "Remainder, broadcasting.").optionalAttr("fmod", AttrKind::kInt, "1: the sign of the dividend"),
    Binary("onnx.Mul", "Product, broadcasting."),
    Unary("onnx.Neg", "Negation.", "any<...>"),
    Unary("onnx.Not", "Logical negation.", "bool<...>"),
    Binary("onnx.Or", "Logical or, broadcasting.", "bool<...>"),
    Binary("onnx.Pow", "a to the power of b, broadcasting; the result has the type of a."),
    Op("onnx.Range", "start, start + delta, ... up to, but without, limit.")
        .operand("start", "any<...>")
        .operand("limit", "any<...>")
        .operand("delta", "any<...>")
        .result("y", "any<...>"),
    Unary("onnx.Reciprocal", "1 / x."),
    Reduction("onnx.ReduceMax", "The largest element along dimensions."),
    Reduction("onnx.ReduceMean", "The mean along dimensions."),
    Reduction("onnx.ReduceMin", "The smallest element along dimensions."),
    Reduction("onnx.ReduceProd", "The product along dimensions."),
    Reduction("onnx.ReduceSum", "The sum along dimensions."),
    Unary("onnx.Relu", "max(x, 0).", "any<...>"),
    Op("onnx.Reshape", "The same elements in another shape.")
        .operand("x", "any<...>")
        .operand("shape", "i64<...>", "-1: what is left; 0: the dimension of x, unless allowzero")
        .optionalAttr("allowzero", AttrKind::kInt)
        .result("y", "any<...>"),
    Op("onnx.ScatterND", "A copy of `data` in which the slices that `indices` names are updated.")
        .operand("data", "any<...>")
        .operand("indices", "i64<...>")
        .operand("updates", "any<...>")
        .optionalAttr("reduction", AttrKind::kString, "none, add, mul, max or min")
        .result("y", "any<...>"),
    Unary("onnx.Shape", "The dimensions from `start` to `end`.", "any<...>", "i64<...>")
        .optionalAttr("end", AttrKind::kInt)
        .optionalAttr("start", AttrKind::kInt),
    Unary("onnx.Sigmoid", "1 / (1 + e^-x)."),
    Unary("onnx.Size", "The number of elements.", "any<...>", "i64<...>"),
    Op("onnx.Slice", "A range of each of some dimensions.")
        .operand("data", "any<...>")
        .operand("starts", "int<...>")
        .operand("ends", "int<...>")
        .optionalOperand("axes", "int<...>")
        .optionalOperand("steps", "int<...>")
        .result("y", "any<...>"),
    Unary("onnx.Softmax", "Exponentials that sum to 1 along a dimension.")
        .optionalAttr("axis", AttrKind::kInt, "-1 by default; before opset 13: 1, and all dimensions from there on"),
    Op("onnx.Split", "Cuts a dimension into parts.")
        .operand("x", "any<...>")
        .optionalOperand("split", "i64<...>", "the sizes of the parts; an attribute in older opsets")
        .optionalAttr("axis", AttrKind::kInt)
        .optionalAttr("num_outputs", AttrKind::kInt, "without sizes; the importer adds it in older opsets")
        .optionalAttr("split", AttrKind::kInts)
        .variadicResult("parts", "any<...>"),
    Unary("onnx.Sqrt", "Square root."),
    Op("onnx.Squeeze", "Removes dimensions of 1.")
        .operand("x", "any<...>")
        .optionalOperand("axes", "i64<...>", "an attribute in older opsets")
        .optionalAttr("axes", AttrKind::kInts)
        .result("y", "any<...>"),
    Binary("onnx.Sub", "Difference, broadcasting."),
    Unary("onnx.Tanh", "Hyperbolic tangent."),
    Op("onnx.Tile", "Repeats a tensor along its dimensions.")
        .operand("x", "any<...>")
        .operand("repeats", "i64<...>")
        .result("y", "any<...>"),
    Unary("onnx.Transpose", "Permutes the dimensions.", "any<...>")
        .optionalAttr("perm", AttrKind::kInts, "reverses them by default"),
    Op("onnx.Trilu", "The upper or lower triangle of each matrix.")
        .operand("x", "any<...>")
        .optionalOperand("k", "i64<...>", "moves the diagonal up")
        .optionalAttr("upper", AttrKind::kInt, "1 by default")
        .result("y", "any<...>"),
    Op("onnx.Unsqueeze", "Inserts dimensions of 1.")
        .operand("x", "any<...>")
        .optionalOperand("axes", "i64<...>", "an attribute in older opsets")
        .optionalAttr("axes", AttrKind::kInts)
        .result("y", "any<...>"),
    Op("onnx.Where", "Chooses between two tensors element by element, broadcasting.")
        .operand("condition", "bool<...>")
        .operand("x", "any<...>")
        .operand("y", "any<...>")
        .result("z", "any<...>"),
    Binary("onnx.Xor", "Logical exclusive or, broadcasting.", "bool<...>"),
});

static_assert(std::is_sorted(kSchemas.begin(), kSchemas.end(),
                             [](const OpSchema& a, const OpSchema& b) { return a.name < b.name; }),
              "the ONNX schemas must be sorted by name");

}  // namespace

absl::Span<const OpSchema> OnnxOpSchemas() { return kSchemas; }

absl::StatusOr<DType> OnnxResultDType(const OpSchema& schema, absl::Span<Value* const> operands,
                                      const AttributeMap& attributes, size_t index) {
  const std::string_view pattern = schema.result_specs[std::min(index, schema.num_results - 1)].type;
  if (const std::optional<DType> fixed = ParseDType(pattern.substr(0, pattern.find('<')))) {
    return *fixed;
  }
  if (const auto to = attributes.find("to"); to != attributes.end() && std::holds_alternative<int64_t>(to->second)) {
    const std::optional<DType> dtype = DTypeFromOnnx(std::get<int64_t>(to->second));
    if (!dtype) {
      return UserError("converts to ONNX's element type number ", std::get<int64_t>(to->second),
                       ", which is not supported");
    }
    return *dtype;
  }
  if (const auto value = attributes.find("value");
      value != attributes.end() && std::holds_alternative<TensorLiteral>(value->second)) {
    return std::get<TensorLiteral>(value->second).dtype;
  }
  if (schema.name == "onnx.ConstantOfShape") {
    return DType::kF32;
  }
  // Where and CastLike take their type from their second operand, every other op from its first.
  const size_t from = schema.name == "onnx.Where" || schema.name == "onnx.CastLike" ? 1 : 0;
  if (from >= operands.size() || operands[from] == nullptr) {
    return UserError("has no operand that gives the element type of its result");
  }
  return operands[from]->type().dtype;
}

}  // namespace dejavu
