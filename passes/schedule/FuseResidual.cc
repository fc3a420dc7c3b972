// FuseResidual.cc: lets the kernel that makes one side of an addition do the addition.
#include "ir/core/Builder.h"
#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

/// The launch behind `value` that could add a residual, if nothing else reads its result.
Operation* Fusable(const Function& function, const Value* value) {
  Operation* op = value->producer();
  if (op == nullptr || op->schema().OperandIndex("residual") < 0 || op->operand("residual") != nullptr ||
      !function.HasOneUse(value)) {
    return nullptr;
  }
  return op;
}

absl::Status FuseResidual(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    std::vector<Operation*> adds;
    for (const auto& op : function->ops()) {
      if (op->Is("sched.launch @add")) {
        adds.push_back(op.get());
      }
    }
    for (Operation* add : adds) {
      for (size_t side : {1, 0}) {
        Operation* launch = Fusable(*function, add->operand(side));
        if (launch == nullptr) {
          continue;
        }
        // The other side may be made after the launch: only moving down to the addition keeps both defined.
        function->Move(launch, add);
        launch->SetOperand(static_cast<size_t>(launch->schema().OperandIndex("residual")), add->operand(1 - side));
        function->ReplaceAllUses(add->result(), launch->result());
        function->Erase(add);
        context.Count("additions fused");
        break;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kFuseResidualPass = {
    .name = "fuse-residual",
    .summary = "Lets the launch that makes one side of an addition do the addition.",
    .example = R"(before  %a = sched.launch @linear(%m, @w, @b)   %y = sched.launch @add(%x, %a)
after   %y = sched.launch @linear(%m, @w, @b, %x))",
    .promise = Promise::kBits,
    .options = {},
    .run = FuseResidual};

}  // namespace dejavu
