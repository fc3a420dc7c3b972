// FuseLayerNorm.cc: lets the launches that read a layer norm's result compute it.
//
// A norm costs nothing in a launch that waits for its weights anyhow, and a launch of its own costs a device the time
// in which it reads no weights. The certified test has no norm: its proof wants the x that sparse_fc1 reads, bit for
// bit.
#include <algorithm>

#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

/// Whether every reader of the norm's result can normalise its x by itself.
bool Fusable(const Function& function, const Operation& norm) {
  const auto& returns = function.returns();
  if (norm.result()->type().shape[0] != Dim(1) ||
      std::find(returns.begin(), returns.end(), norm.result()) != returns.end()) {
    return false;
  }
  for (const Use& use : norm.result()->uses()) {
    const OpSchema& schema = use.user->schema();
    const bool reads_as_x = static_cast<int>(use.index) == schema.OperandIndex("x");
    if (!reads_as_x || schema.OperandIndex("gamma") < 0 || use.user == &norm || use.user->operand("gamma") != nullptr) {
      return false;
    }
  }
  return !norm.result()->uses().empty();
}

void Fuse(const Operation& norm) {
  const std::vector<Use> uses = norm.result()->uses();
  for (const Use& use : uses) {
    const OpSchema& schema = use.user->schema();
    for (const std::string_view port : {"x", "gamma", "beta"}) {
      use.user->SetOperand(static_cast<size_t>(schema.OperandIndex(port)), norm.operand(port));
    }
    use.user->SetAttribute("epsilon", *norm.GetAttribute<double>("epsilon"));
  }
}

absl::Status FuseLayerNorm(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    std::vector<Operation*> norms;
    for (const auto& op : function->ops()) {
      if (op->Is("sched.launch @layer_norm")) {
        norms.push_back(op.get());
      }
    }
    for (Operation* norm : norms) {
      if (Fusable(*function, *norm)) {
        Fuse(*norm);
        function->Erase(norm);
        context.Count("layer norms fused");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kFuseLayerNormPass = {
    .name = "fuse-layer-norm",
    .summary = "Lets the launches that read one token's layer norm compute it, where all of them can.",
    .example =
        R"(before  %n = sched.launch @layer_norm(%x, @g, @b) {epsilon = 1e-05}   %y = sched.launch @linear(%n, @w)
after   %y = sched.launch @linear(%x, @w, none, none, @g, @b) {epsilon = 1e-05})",
    .promise = Promise::kBits,
    .options = {},
    .run = FuseLayerNorm};

}  // namespace dejavu
