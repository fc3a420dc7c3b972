// LiftViews.cc: turns what only regroups dimensions of size 1, or changes the float type, into model.view.
#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

bool IsMovement(const Operation& op) {
  return op.Is("onnx.Reshape") || op.Is("onnx.Squeeze") || op.Is("onnx.Unsqueeze") || op.Is("onnx.Flatten") ||
         op.Is("onnx.Identity") || op.Is("onnx.Dropout") || op.Is("onnx.Cast");
}

absl::Status LiftViews(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    std::vector<Operation*> views;
    for (const auto& op : function->ops()) {
      if (!IsMovement(*op)) {
        continue;
      }
      const Type& from = op->operand(size_t{0})->type();
      const Type& to = op->result()->type();
      if (IsFloat(from.dtype) && IsFloat(to.dtype) && WithoutOnes(from) == WithoutOnes(to)) {
        views.push_back(op.get());
      }
    }
    for (Operation* op : views) {
      Builder builder(function.get(), op);
      Operation* view =
          builder.CreateTyped(kView, {op->operand(size_t{0})}, {}, {op->result()->type()}, op->location());
      function->ReplaceAllUses(op->result(), view->result());
      context.Count("views");
    }
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kLiftViewsPass = {
    .name = "lift-views",
    .summary = "Turns reshapes that only add or drop dimensions of size 1, and casts between floats, into model.view.",
    .example = R"(before  %y = onnx.Reshape(%x, %shape) : f32<tokens, 64>       with %x : f32<1, tokens, 64>
after   %y = model.view(%x) : f32<tokens, 64>)",
    .promise = Promise::kReal,
    .options = {},
    .run = LiftViews};

}  // namespace dejavu
