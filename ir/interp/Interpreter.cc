#include "ir/interp/Interpreter.h"

#include <algorithm>

#include "ir/interp/ModelEval.h"

namespace dejavu {
namespace {

std::vector<int64_t> StaticDims(const Type& type) {
  std::vector<int64_t> dims;
  for (const Dim& dim : type.shape) {
    dims.push_back(dim.size());
  }
  return dims;
}

}  // namespace

Tensor ToTensor(const WeightData& data) {
  Tensor tensor;
  tensor.dtype = data.dtype;
  tensor.dims = data.dims;
  const auto count = static_cast<size_t>(tensor.NumElements());
  if (IsFloat(data.dtype)) {
    tensor.floats.resize(count);
    for (size_t i = 0; i < count; ++i) {
      tensor.floats[i] = LoadAsDouble(data.dtype, data.data, i);
    }
  } else {
    tensor.ints.resize(count);
    for (size_t i = 0; i < count; ++i) {
      tensor.ints[i] = LoadAsInteger(data.dtype, data.data, i);
    }
  }
  return tensor;
}

absl::StatusOr<const Tensor*> Interpreter::Load(const Weight& weight) {
  auto it = loaded_.find(&weight);
  if (it != loaded_.end()) {
    return &it->second;
  }
  Tensor tensor = Tensor::Unknown(weight.type.dtype, StaticDims(weight.type));
  if (!abstract_ || !IsFloat(weight.type.dtype)) {
    ASSIGN_OR_RETURN(const WeightData data, weights_->Read(weight));
    tensor = ToTensor(data);
  }
  return &loaded_.emplace(&weight, std::move(tensor)).first->second;
}

absl::StatusOr<std::vector<Tensor>> Interpreter::UnknownResults(const Operation& op) const {
  std::vector<Tensor> results;
  for (size_t i = 0; i < op.num_results(); ++i) {
    const Type& type = op.result(i)->type();
    std::vector<int64_t> dims;
    for (const Dim& dim : type.shape) {
      auto it = symbols_.find(dim.symbol());
      if (!dim.is_static() && it == symbols_.end()) {
        return UserError("the size of '", dim.symbol(), "' is not known");
      }
      dims.push_back(dim.is_static() ? dim.size() : it->second);
    }
    results.push_back(Tensor::Unknown(type.dtype, std::move(dims)));
  }
  return results;
}

absl::StatusOr<std::vector<Tensor>> Interpreter::Evaluate(const Operation& op,
                                                          const std::vector<const Tensor*>& inputs) {
  if (op.schema().family() == "onnx") {
    const OnnxEvalFn eval = FindOnnxEval(op.name().substr(op.name().find('.') + 1));
    if (eval == nullptr) {
      return UserError("the interpreter does not know it");
    }
    const int opset = static_cast<int>(module_.IntAttribute("opset", 17));
    return eval(op.attributes(), inputs, opset, options_);
  }
  if (std::any_of(inputs.begin(), inputs.end(), [](const Tensor* in) { return in != nullptr && !in->known; })) {
    return UnknownResults(op);
  }
  const ModelEvalFn eval = FindModelEval(op.name());
  if (eval == nullptr) {
    return BugError("the interpreter does not know it");
  }
  return eval(op, inputs, options_);
}

absl::StatusOr<std::vector<Tensor>> Interpreter::Run(const Function& function, std::vector<Tensor> arguments) {
  if (arguments.size() != function.num_arguments()) {
    return BugError("function '@", function.name(), "' takes ", function.num_arguments(), " arguments, but gets ",
                    arguments.size());
  }
  std::map<const Value*, Tensor> values;
  for (size_t i = 0; i < arguments.size(); ++i) {
    values[function.argument(i)] = std::move(arguments[i]);
  }
  for (const auto& op : function.ops()) {
    std::vector<const Tensor*> inputs;
    for (const Value* operand : op->operands()) {
      if (operand == nullptr) {
        inputs.push_back(nullptr);
      } else if (operand->weight() != nullptr) {
        ASSIGN_OR_RETURN(const Tensor* loaded, Load(*operand->weight()));
        inputs.push_back(loaded);
      } else {
        inputs.push_back(&values.at(operand));
      }
    }
    absl::StatusOr<std::vector<Tensor>> results = Evaluate(*op, inputs);
    if (!results.ok()) {
      return WithContext(results.status(), op->Describe());
    }
    if (observer_) {
      observer_(*op, *results);
    }
    for (size_t i = 0; i < op->num_results() && i < results->size(); ++i) {
      values[op->result(i)] = std::move((*results)[i]);
    }
  }
  std::vector<Tensor> returned;
  for (const Value* value : function.returns()) {
    returned.push_back(values.at(value));
  }
  return returned;
}

}  // namespace dejavu
