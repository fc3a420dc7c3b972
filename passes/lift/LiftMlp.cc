// LiftMlp.cc: recognises two linear layers with a ReLU between them.
#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

absl::Status LiftMlp(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    for (Operation* fc2 : OpsOf(*function, "model.linear")) {
      const Operation* relu = ProducerIf(fc2->operand("x"), "onnx.Relu");
      const Operation* fc1 = relu == nullptr ? nullptr : ProducerIf(relu->operand(size_t{0}), "model.linear");
      if (fc1 == nullptr) {
        continue;
      }
      Builder builder(function.get(), fc2);
      ASSIGN_OR_RETURN(Operation * mlp,
                       builder.TryCreate(kMlp,
                                         {fc1->operand("x"), fc1->operand("weight"), fc1->operand("bias"),
                                          fc2->operand("weight"), fc2->operand("bias")},
                                         {}, *fc1));
      function->ReplaceAllUses(fc2->result(), mlp->result());
      context.Count("MLPs");
    }
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kLiftMlpPass = {
    .name = "lift-mlp",
    .summary = "Joins two linear layers with a ReLU between them into model.mlp.",
    .example = R"(before  %h = model.linear(%x, @fc1, @b1)   %r = onnx.Relu(%h)   %y = model.linear(%r, @fc2, @b2)
after   %y = model.mlp(%x, @fc1, @b1, @fc2, @b2) : f32<tokens, 64>)",
    .promise = Promise::kReal,
    .options = {},
    .run = LiftMlp};

}  // namespace dejavu
