#include "passes/lift/Trace.h"

#include <algorithm>
#include <array>

#include "ir/interp/ModelEval.h"
#include "ir/interp/OnnxEval.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

constexpr std::array kMovements =
    std::to_array<std::string_view>({"onnx.Cast", "onnx.Concat", "onnx.Dropout", "onnx.Flatten", "onnx.Identity",
                                     "onnx.Reshape", "onnx.Squeeze", "onnx.Transpose", "onnx.Unsqueeze", "model.view"});

constexpr std::array kElementwise = std::to_array<std::string_view>(
    {"onnx.Add", "onnx.Cast", "onnx.Clip", "onnx.Div", "onnx.Dropout", "onnx.Identity", "onnx.IsNaN", "onnx.Max",
     "onnx.Mul", "onnx.Reshape", "onnx.Squeeze", "onnx.Sub", "onnx.Unsqueeze", "onnx.Where", "model.view"});

template <size_t N>
bool IsOneOf(const Operation& op, const std::array<std::string_view, N>& names) {
  return std::find(names.begin(), names.end(), op.name()) != names.end();
}

absl::StatusOr<Tensor> Evaluate(const Module& module, const Operation& op, std::vector<Tensor> inputs,
                                const std::vector<bool>& present) {
  std::vector<const Tensor*> pointers;
  for (size_t i = 0; i < inputs.size(); ++i) {
    pointers.push_back(present[i] ? &inputs[i] : nullptr);
  }
  const EvalOptions exact{.round = false};
  absl::StatusOr<std::vector<Tensor>> results;
  if (op.schema().family() == "onnx") {
    results = FindOnnxEval(op.name().substr(5))(op.attributes(), pointers,
                                                static_cast<int>(module.IntAttribute("opset", 17)), exact);
  } else {
    results = FindModelEval(op.name())(op, pointers, exact);
  }
  RETURN_IF_ERROR(WithContext(results.status(), op.Describe()));
  return std::move((*results)[0]);
}

/// 1 + i, or -1 - i if negative, for element i of a tensor of shape `dims`.
Tensor Codes(std::vector<int64_t> dims, bool negative) {
  Tensor codes;
  codes.dtype = DType::kF64;
  codes.dims = std::move(dims);
  codes.floats.resize(static_cast<size_t>(codes.NumElements()));
  for (size_t i = 0; i < codes.floats.size(); ++i) {
    codes.floats[i] = (negative ? -1.0 : 1.0) * static_cast<double>(i + 1);
  }
  return codes;
}

class Walk {
 public:
  Walk(const Module& module, const Probe& probe, size_t at, const Value* source)
      : module_(module), probe_(probe), at_(at), source_(source) {}

  absl::StatusOr<Tensor> Visit(Value* value, Origin* origin) {
    Operation* op = value->producer();
    if (value == source_ || (source_ == nullptr && op != nullptr && op->Is("model.linear"))) {
      origin->linear = op;
      return Codes(probe_.Find(at_, value)->dims, /*negative=*/false);
    }
    if (op == nullptr) {
      if (value->weight() == nullptr && IsPastArgument(*value)) {
        origin->past = value;
        return Codes(probe_.Find(at_, value)->dims, /*negative=*/true);
      }
      return UserError("'", value->name(), "' reaches attention, which expects q, k and v to be linear layers");
    }
    if (op->Is("onnx.Mul") || op->Is("onnx.Div")) {
      return VisitScale(*op, origin);
    }
    if (!IsOneOf(*op, kMovements)) {
      return UserError(op->Describe(), " stands where attention expects only reshapes, transposes and scales between ",
                       "its products and its linear layers");
    }
    std::vector<Tensor> inputs;
    std::vector<bool> present;
    for (size_t i = 0; i < op->num_operands(); ++i) {
      Value* operand = op->operand(i);
      present.push_back(operand != nullptr);
      if (operand == nullptr) {
        inputs.emplace_back();
      } else if (i > 0 && !op->Is("onnx.Concat")) {
        inputs.push_back(*probe_.Find(at_, operand));  // shapes and axes, which the probe knows
      } else {
        ASSIGN_OR_RETURN(Tensor input, Visit(operand, origin));
        inputs.push_back(std::move(input));
      }
    }
    ASSIGN_OR_RETURN(Tensor moved, Evaluate(module_, *op, std::move(inputs), present));
    moved.dtype = DType::kF64;  // codes stay codes, whatever float type a cast or view gives the values
    return moved;
  }

 private:
  absl::StatusOr<Tensor> VisitScale(const Operation& op, Origin* origin) {
    for (size_t i = 0; i < 2; ++i) {
      const std::optional<double> factor = ScalarOf(op.operand(1 - i));
      if (factor && (i == 0 || op.Is("onnx.Mul"))) {
        origin->scale *= op.Is("onnx.Mul") ? *factor : 1 / *factor;
        return Visit(op.operand(i), origin);
      }
    }
    return UserError(op.Describe(), " must have a constant as one operand");
  }

  const Module& module_;
  const Probe& probe_;
  size_t at_;
  const Value* source_;
};

}  // namespace

absl::StatusOr<Origin> TraceToLinear(const Module& module, const Probe& probe, size_t at, Value* value) {
  return TraceToValue(module, probe, at, value, nullptr);
}

absl::StatusOr<Origin> TraceToValue(const Module& module, const Probe& probe, size_t at, Value* value,
                                    const Value* source) {
  Origin origin;
  ASSIGN_OR_RETURN(origin.codes, Walk(module, probe, at, source).Visit(value, &origin));
  return origin;
}

absl::StatusOr<Tensor> EvaluateElementwise(const Module& module, const Probe& probe, size_t at, Value* value,
                                           const Value* source, double fill) {
  const Tensor* known = probe.Find(at, value);
  if (value == source) {
    Tensor filled = *known;
    filled.known = true;
    filled.floats.assign(static_cast<size_t>(filled.NumElements()), fill);
    return filled;
  }
  if (known != nullptr && known->known) {
    return *known;
  }
  const Operation* op = value->producer();
  if (op == nullptr || !IsOneOf(*op, kElementwise)) {
    return UserError(op == nullptr ? absl::StrCat("'", value->name(), "'") : op->Describe(),
                     " stands where attention expects only a scale and a mask around its softmax");
  }
  std::vector<Tensor> inputs;
  std::vector<bool> present;
  for (Value* operand : op->operands()) {
    present.push_back(operand != nullptr);
    inputs.emplace_back();
    if (operand != nullptr) {
      ASSIGN_OR_RETURN(inputs.back(), EvaluateElementwise(module, probe, at, operand, source, fill));
    }
  }
  return Evaluate(module, *op, std::move(inputs), present);
}

Operation* FindAbove(const Probe& probe, Value* value, std::string_view op_name) {
  while (value != nullptr && value->producer() != nullptr) {
    Operation* op = value->producer();
    if (op->Is(op_name)) {
      return op;
    }
    if (!IsOneOf(*op, kElementwise)) {
      return nullptr;
    }
    value = nullptr;
    for (Value* operand : op->operands()) {
      if (operand != nullptr && !probe.IsKnown(operand)) {
        value = operand;  // for Where(isnan(p), 0, p) any unknown one leads to the same place
      }
    }
  }
  return nullptr;
}

}  // namespace dejavu
