// FinishLift.cc: closes the [model] stratum: all of the graph has become an OPT decoder, or the first part that has not
// is refused.
#include <algorithm>

#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"
#include "passes/lift/OptStructure.h"

namespace dejavu {
namespace {

/// Why an op may have been left over, for the message.
std::string_view Hint(const Operation& op) {
  if (op.Is("onnx.Erf") || op.Is("onnx.Tanh") || op.Is("onnx.Sigmoid") || op.Is("onnx.Gelu")) {
    return "the activation is not ReLU, and what DejaVu skips are the zeros that ReLU makes; expected onnx.Relu";
  }
  if (op.Is("onnx.Relu")) {
    return "expected a ReLU to stand between the two linear layers of an MLP";
  }
  if (op.Is("onnx.Softmax")) {
    return "expected causal attention around it";
  }
  return "expected embeddings, layer norms, causal attention, ReLU MLPs, residual additions and a linear head";
}

/// Leaves logits and caches as the returned values, logits as rows.
absl::Status SetReturns(Function& function) {
  std::vector<Value*> values;
  std::vector<std::string> names;
  for (size_t i = 0; i < function.returns().size(); ++i) {
    const std::string& name = function.return_names()[i];
    Value* value = function.returns()[i];
    if (name == "logits") {
      value = Through(value);
      if (value->type().rank() != 2) {
        return UserError("output 'logits' must be (batch, tokens, vocabulary), but comes from ",
                         value->type().ToString());
      }
    } else if (!name.starts_with("kv")) {
      continue;  // present keys and values: the lifted function returns caches instead
    }
    values.push_back(value);
    names.push_back(name);
  }
  if (names.empty() || std::find(names.begin(), names.end(), "logits") == names.end()) {
    return UserError("the graph has no output called 'logits'");
  }
  function.SetReturns(std::move(values), std::move(names));
  return absl::OkStatus();
}

absl::Status RefuseLeftovers(const Function& function) {
  const Operation* first = nullptr;
  for (const auto& op : function.ops()) {
    // An activation explains more than the arithmetic around it.
    const bool telling = op->Is("onnx.Erf") || op->Is("onnx.Tanh") || op->Is("onnx.Sigmoid");
    if (op->schema().family() == "onnx" && (first == nullptr || telling)) {
      first = op.get();
      if (telling) {
        break;
      }
    }
  }
  if (first != nullptr) {
    return UserError(first->Describe(),
                     " is not part of an OPT decoder as DejaVu knows it: ", std::string(Hint(*first)));
  }
  for (const Operation* view : OpsOf(function, "model.view")) {
    return UserError(view->Describe(), " regroups ", view->operand(size_t{0})->type().ToString(), " as ",
                     view->result()->type().ToString(), ", which no part of an OPT decoder does");
  }
  return absl::OkStatus();
}

absl::Status FinishLift(Module& module, PassContext& context) {
  if (module.functions().size() != 1) {
    return UserError("finish-lift expects one function, but there are ", module.functions().size());
  }
  Function* function = module.functions()[0].get();
  RETURN_IF_ERROR(SetReturns(*function));
  Sweep(*function, context);
  RETURN_IF_ERROR(RefuseLeftovers(*function));
  for (size_t i = function->num_arguments(); i-- > 0;) {
    if (!function->argument(i)->has_uses()) {
      function->RemoveArgument(i);
      context.Count("arguments dropped");
    }
  }
  RETURN_IF_ERROR(CheckOptStructure(module, *function));
  function->set_name("forward");
  context.Count("weights dropped", static_cast<int64_t>(module.EraseDeadWeights()));
  module.set_stage("model");
  return absl::OkStatus();
}

}  // namespace

const PassInfo kFinishLiftPass = {
    .name = "finish-lift",
    .summary = "Refuses whatever is left of the ONNX graph or is not an OPT decoder, and enters the model stratum.",
    .example = R"(before  module at onnx   func @main(%input_ids, %attention_mask, %tokens, %past, %kv0)
after   module at model {heads = 4, hidden = 64, ...}   func @forward(%tokens, %past, %kv0))",
    .promise = Promise::kReal,
    .options = {},
    .run = FinishLift};

}  // namespace dejavu
