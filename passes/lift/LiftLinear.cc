// LiftLinear.cc: recognises matrix products with a weight, with or without a bias.
#include "ir/import/WeightTransforms.h"
#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

/// The matrix behind `value` in (outputs, inputs) form. `columns_are_outputs`: as the node reads it, it is (inputs,
/// outputs). Null if it is not a matrix that is a weight.
const Weight* MatrixOf(Module& module, Value* value, bool columns_are_outputs) {
  if (const Operation* transpose = ProducerIf(value, "onnx.Transpose")) {
    const auto perm = transpose->GetAttribute<std::vector<int64_t>>("perm");
    if (perm && *perm != std::vector<int64_t>{1, 0}) {
      return nullptr;
    }
    return MatrixOf(module, transpose->operand(size_t{0}), !columns_are_outputs);
  }
  const Weight* weight = WeightOf(value);
  if (weight == nullptr || weight->type.rank() != 2) {
    return nullptr;
  }
  return columns_are_outputs ? AddDerivedWeight(module, weight->name + ".T", "transpose", {weight}) : weight;
}

absl::Status LiftGemm(Module& module, Operation* op, PassContext& context) {
  const bool plain = op->GetAttribute<double>("alpha").value_or(1) == 1 &&
                     op->GetAttribute<double>("beta").value_or(1) == 1 &&
                     op->GetAttribute<int64_t>("transA").value_or(0) == 0;
  const bool transposed = op->GetAttribute<int64_t>("transB").value_or(0) != 0;
  const Weight* matrix = plain ? MatrixOf(module, op->operand(1), !transposed) : nullptr;
  Value* bias = op->num_operands() > 2 ? op->operand(2) : nullptr;
  if (matrix == nullptr || (bias != nullptr && WeightOf(bias) == nullptr)) {
    return UserError(op->Describe(), " must be x W + b with weights W and b and alpha = beta = 1");
  }
  Builder builder(op->parent(), op);
  ASSIGN_OR_RETURN(Value * rows, AsRows(builder, op->operand(size_t{0}), *op));
  ASSIGN_OR_RETURN(
      Operation * linear,
      builder.TryCreate(kLinear, {rows, matrix->value, bias == nullptr ? nullptr : WeightOf(bias)->value}, {}, *op));
  ReplaceByView(builder, op, linear->result());
  context.Count("linear layers");
  return absl::OkStatus();
}

absl::Status LiftMatMul(Module& module, Operation* op, PassContext& context) {
  const Weight* matrix = MatrixOf(module, op->operand(1), /*columns_are_outputs=*/true);
  if (matrix == nullptr) {
    return absl::OkStatus();  // attention's products of two activations
  }
  Builder builder(op->parent(), op);
  ASSIGN_OR_RETURN(Value * rows, AsRows(builder, op->operand(size_t{0}), *op));
  ASSIGN_OR_RETURN(Operation * linear, builder.TryCreate(kLinear, {rows, matrix->value}, {}, *op));
  ReplaceByView(builder, op, linear->result());
  context.Count("linear layers");
  return absl::OkStatus();
}

/// An addition of a vector to a linear layer without a bias becomes its bias.
absl::Status AbsorbBias(Operation* add, PassContext& context) {
  const auto split = SplitByWeight(*add, 1);
  Operation* linear = split ? ProducerIf(split->second, "model.linear") : nullptr;
  if (linear == nullptr || linear->operand("bias") != nullptr || !add->parent()->HasOneUse(linear->result())) {
    return absl::OkStatus();
  }
  Builder builder(add->parent(), add);
  ASSIGN_OR_RETURN(
      Operation * biased,
      builder.TryCreate(kLinear, {linear->operand("x"), linear->operand("weight"), split->first->value}, {}, *linear));
  ReplaceByView(builder, add, biased->result());
  context.Count("biases");
  return absl::OkStatus();
}

absl::Status LiftLinear(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    for (Operation* op : OpsOf(*function, "onnx.Gemm")) {
      RETURN_IF_ERROR(LiftGemm(module, op, context));
    }
    for (Operation* op : OpsOf(*function, "onnx.MatMul")) {
      RETURN_IF_ERROR(LiftMatMul(module, op, context));
    }
    Sweep(*function, context);
    for (Operation* op : OpsOf(*function, "onnx.Add")) {
      RETURN_IF_ERROR(AbsorbBias(op, context));
    }
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kLiftLinearPass = {
    .name = "lift-linear",
    .summary = "Turns Gemm and MatMul with a weight, and an Add of a vector after it, into model.linear.",
    .example = R"(before  %p = onnx.MatMul(%x, @w)   %y = onnx.Add(%p, @b)       with @w : f16<64, 256>
after   %y = model.linear(%x, @w.T, @b) : f32<tokens, 256>     with @w.T : f16<256, 64> = transpose(@w))",
    .promise = Promise::kReal,
    .options = {},
    .run = LiftLinear};

}  // namespace dejavu
