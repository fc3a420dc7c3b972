// FoldShapes.cc: gives every value its type and replaces size arithmetic that does not vary by constants.
#include "ir/ops/Registry.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"
#include "passes/lift/Probe.h"

namespace dejavu {
namespace {

absl::Status SetType(const Probe& probe, const Operation& op, Value* value) {
  const Tensor* first = probe.Find(0, value);
  const Tensor* second = probe.Find(1, value);
  if (first == nullptr || second == nullptr || first->rank() != second->rank()) {
    return UserError(op.Describe(), " has a result whose rank depends on the number of tokens");
  }
  Type type{first->dtype, {}};
  for (size_t d = 0; d < first->dims.size(); ++d) {
    const std::optional<Dim> dim = probe.Fit({first->dims[d], second->dims[d]});
    if (!dim) {
      return UserError(op.Describe(), " has a result whose dimension ", d, " is ", first->dims[d], " for ",
                       probe.size(0).tokens, " tokens and ", second->dims[d], " for ", probe.size(1).tokens,
                       "; expected a fixed number, tokens, past or their sum");
    }
    type.shape.push_back(*dim);
  }
  value->set_type(std::move(type));
  return absl::OkStatus();
}

/// A result that is the same small list of integers at every size.
bool IsFixed(const Probe& probe, const Value* value) {
  if (!probe.IsKnown(value) || IsFloat(value->type().dtype)) {
    return false;
  }
  const Tensor& tensor = *probe.Find(0, value);
  constexpr int64_t kMaxElements = 64;
  return tensor.NumElements() <= kMaxElements && tensor.dims == probe.Find(1, value)->dims &&
         tensor.ints == probe.Find(1, value)->ints;
}

absl::Status FoldShapes(Module& module, PassContext& context) {
  const OpSchema* constant = FindOpSchema("onnx.Constant");
  for (const auto& function : module.functions()) {
    ASSIGN_OR_RETURN(const Probe probe, Probe::Run(module, *function, context.weights()));
    std::vector<Operation*> fixed;
    for (const auto& op : function->ops()) {
      for (size_t i = 0; i < op->num_results(); ++i) {
        RETURN_IF_ERROR(SetType(probe, *op, op->result(i)));
      }
      if (op->num_results() == 1 && !op->Is("onnx.Constant") && IsFixed(probe, op->result())) {
        fixed.push_back(op.get());
      }
    }
    for (Operation* op : fixed) {
      Builder builder(function.get(), op);
      Operation* folded = builder.CreateTyped(*constant, {}, {{"value", probe.Find(0, op->result())->ToLiteral()}},
                                              {op->result()->type()}, op->location());
      function->ReplaceAllUses(op->result(), folded->result());
      context.Count("constants folded");
    }
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kFoldShapesPass = {
    .name = "fold-shapes",
    .summary = "Gives every value its type, with batch 1, and folds the size arithmetic that does not vary.",
    .example = R"(before  %s = onnx.Shape(%x)   %n = onnx.Gather(%s, %axis)   %y = onnx.Relu(%x) : f32<>
after   %n = onnx.Constant() {value = i64<1>[64]} : i64<1>      %y = onnx.Relu(%x) : f32<1, tokens, 64>)",
    .promise = Promise::kReal,
    .options = {},
    .run = FoldShapes};

}  // namespace dejavu
