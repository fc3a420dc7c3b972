// FoldShapes.cc: gives every value its type and replaces size arithmetic that does not vary by constants.
#include <array>

#include "ir/ops/Registry.h"
#include "ir/verify/Verifier.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"
#include "passes/lift/Probe.h"

namespace dejavu {
namespace {

absl::Status SetType(const Probe& probe, const Operation& op, Value* value) {
  std::array<const Tensor*, Probe::kCount> at{};
  for (size_t i = 0; i < at.size(); ++i) {
    at[i] = probe.Find(i, value);
    if (at[i] == nullptr || at[i]->rank() != at[0]->rank()) {
      return UserError(op.Describe(), " has a result whose rank depends on the number of tokens");
    }
  }
  Type type{at[0]->dtype, {}};
  for (size_t d = 0; d < at[0]->dims.size(); ++d) {
    std::array<int64_t, Probe::kCount> sizes{};
    for (size_t i = 0; i < at.size(); ++i) {
      sizes[i] = at[i]->dims[d];
    }
    const std::optional<Dim> dim = probe.Fit(sizes);
    if (!dim) {
      return UserError(op.Describe(), " has a result whose dimension ", d, " is ", sizes[0], " for ",
                       probe.size(0).tokens, " tokens and ", sizes[1], " for ", probe.size(1).tokens,
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
  const Tensor& first = *probe.Find(0, value);
  constexpr int64_t kMaxElements = 64;
  for (size_t i = 1; i < Probe::kCount; ++i) {
    const Tensor& other = *probe.Find(i, value);
    if (other.dims != first.dims || other.ints != first.ints) {
      return false;
    }
  }
  return first.NumElements() <= kMaxElements;
}

/// In text, types may be wrong until they are computed here; then ops that depend on them are wrong too.
absl::Status CheckTypes(const Module& module) {
  for (const Diagnostic& error : FindErrors(module)) {
    if (error.line > 0) {
      return UserError("line ", error.line, ": ", error.message, " once every value has the type that it computes to");
    }
  }
  return absl::OkStatus();
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
  return CheckTypes(module);
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
