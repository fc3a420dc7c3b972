// FoldViews.cc: makes every view read the first value of its chain, and drops views that change nothing.
#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

absl::Status FoldViews(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    for (Operation* view : OpsOf(*function, "model.view")) {
      Value* source = Through(view->operand(size_t{0}));
      if (source->type() == view->result()->type()) {
        function->ReplaceAllUses(view->result(), source);
        context.Count("views folded");
      } else {
        view->SetOperand(0, source);
      }
    }
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kFoldViewsPass = {
    .name = "fold-views",
    .summary = "Joins chains of views and drops those that end in the type they began with.",
    .example =
        R"(before  %a = model.view(%x) : f32<1, tokens, 64>   %b = model.view(%a) : f32<tokens, 64>   with %x : f32<tokens, 64>
after   users of %b read %x)",
    .promise = Promise::kReal,
    .options = {},
    .run = FoldViews};

}  // namespace dejavu
