#include "passes/lift/Match.h"

#include "ir/ops/ModelOps.h"

namespace dejavu {

Value* Through(Value* value) {
  while (value != nullptr && value->producer() != nullptr &&
         (value->producer()->Is("model.view") || value->producer()->Is("onnx.Identity"))) {
    value = value->producer()->operand(size_t{0});
  }
  return value;
}

Operation* ProducerIf(Value* value, std::string_view op_name) {
  Value* source = Through(value);
  Operation* producer = source == nullptr ? nullptr : source->producer();
  return producer != nullptr && producer->Is(op_name) ? producer : nullptr;
}

const Weight* WeightOf(Value* value) {
  Value* source = Through(value);
  return source == nullptr ? nullptr : source->weight();
}

std::optional<double> ScalarOf(Value* value) {
  Operation* constant = ProducerIf(value, "onnx.Constant");
  if (constant == nullptr) {
    return std::nullopt;
  }
  const auto literal = constant->GetAttribute<TensorLiteral>("value");
  if (!literal || literal->floats.size() + literal->ints.size() != 1) {
    return std::nullopt;
  }
  return literal->floats.empty() ? static_cast<double>(literal->ints[0]) : literal->floats[0];
}

std::optional<std::pair<Operation*, Value*>> SplitBy(const Operation& op, std::string_view producer) {
  for (size_t i = 0; i < 2; ++i) {
    if (Operation* found = ProducerIf(op.operand(i), producer)) {
      return std::pair(found, op.operand(1 - i));
    }
  }
  return std::nullopt;
}

std::optional<std::pair<const Weight*, Value*>> SplitByWeight(const Operation& op, size_t rank) {
  for (size_t i = 0; i < 2; ++i) {
    const Weight* weight = WeightOf(op.operand(i));
    if (weight != nullptr && weight->type.rank() == rank) {
      return std::pair(weight, op.operand(1 - i));
    }
  }
  return std::nullopt;
}

Shape WithoutOnes(const Type& type) {
  Shape shape;
  for (const Dim& dim : type.shape) {
    if (!(dim.is_static() && dim.size() == 1)) {
      shape.push_back(dim);
    }
  }
  return shape;
}

absl::StatusOr<Value*> AsRows(Builder& builder, Value* x, const Operation& op) {
  const Shape shape = WithoutOnes(x->type());
  if (shape.size() != 2 || !IsFloat(x->type().dtype)) {
    return UserError(op.Describe(), " must work on (batch 1, tokens, width), but gets ", x->type().ToString());
  }
  const Type rows{DType::kF32, shape};
  if (x->type() == rows) {
    return x;
  }
  return builder.CreateTyped(kView, {x}, {}, {rows}, op.location())->result();
}

void ReplaceByView(Builder& builder, Operation* old, Value* rows) {
  Value* result = old->result();
  Value* viewed = rows;
  if (result->type() != rows->type()) {
    viewed = builder.CreateTyped(kView, {rows}, {}, {result->type()}, old->location())->result();
  }
  old->parent()->ReplaceAllUses(result, viewed);
}

std::vector<Operation*> OpsOf(const Function& function, std::string_view op_name) {
  std::vector<Operation*> ops;
  for (const auto& op : function.ops()) {
    if (op->Is(op_name)) {
      ops.push_back(op.get());
    }
  }
  return ops;
}

}  // namespace dejavu
