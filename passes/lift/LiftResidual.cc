// LiftResidual.cc: turns additions of two activations into model.add.
#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

bool IsActivation(Value* value, const Type& type) {
  return WeightOf(value) == nullptr && !ScalarOf(value) && WithoutOnes(value->type()) == WithoutOnes(type);
}

absl::Status LiftResidual(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    for (Operation* add : OpsOf(*function, "onnx.Add")) {
      const Type& type = add->result()->type();
      if (!IsFloat(type.dtype) || WithoutOnes(type).size() != 2 || !IsActivation(add->operand(size_t{0}), type) ||
          !IsActivation(add->operand(1), type)) {
        continue;
      }
      Builder builder(function.get(), add);
      ASSIGN_OR_RETURN(Value * a, AsRows(builder, add->operand(size_t{0}), *add));
      ASSIGN_OR_RETURN(Value * b, AsRows(builder, add->operand(1), *add));
      ASSIGN_OR_RETURN(Operation * sum, builder.TryCreate(kAdd, {a, b}, {}, *add));
      ReplaceByView(builder, add, sum->result());
      context.Count("residual additions");
    }
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kLiftResidualPass = {.name = "lift-residual",
                                    .summary = "Turns additions of two activations into model.add.",
                                    .example = R"(before  %y = onnx.Add(%x, %a) : f16<1, tokens, 64>
after   %r = model.add(%xr, %ar) : f32<tokens, 64>   with %xr, %ar = model.view of %x, %a)",
                                    .promise = Promise::kReal,
                                    .options = {},
                                    .run = LiftResidual};

}  // namespace dejavu
