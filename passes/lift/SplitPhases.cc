// SplitPhases.cc: makes @prefill (many tokens, logits of the last) and @decode (one token) from @forward.
#include "ir/core/Clone.h"
#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

/// Keeps only the last token from the last place on after which tokens no longer meet: before the final layer norm and
/// the head.
absl::Status KeepLastToken(Function& function, size_t logits) {
  Operation* op = function.returns()[logits]->producer();
  const auto is_row_by_row = [](const Operation* o) {
    return o != nullptr && (o->Is("model.linear") || o->Is("model.layer_norm"));
  };
  std::vector<Operation*> tail;
  while (is_row_by_row(op) && (tail.empty() || function.HasOneUse(op->result()))) {
    tail.push_back(op);
    op = op->operand("x")->producer();
  }
  if (tail.empty()) {
    return UserError("split-phases expects the logits to come from a linear layer");
  }
  Operation* first = tail.back();
  Builder builder(&function, first);
  first->SetOperand(0, builder.Create(kLastToken, {first->operand("x")}, {}, first->location())->result());
  for (auto it = tail.rbegin(); it != tail.rend(); ++it) {
    Type type = (*it)->result()->type();
    type.shape[0] = Dim(int64_t{1});
    (*it)->result()->set_type(std::move(type));
  }
  return absl::OkStatus();
}

absl::Status SplitPhases(Module& module, PassContext& context) {
  Function* forward = module.FindFunction("forward");
  if (forward == nullptr) {
    return UserError("split-phases expects a function @forward");
  }
  size_t logits = 0;
  while (logits < forward->return_names().size() && forward->return_names()[logits] != "logits") {
    ++logits;
  }
  if (logits == forward->return_names().size()) {
    return UserError("split-phases expects @forward to return a value as \"logits\"");
  }
  RETURN_IF_ERROR(KeepLastToken(*CloneFunction(module, *forward, "prefill", {}), logits));
  CloneFunction(module, *forward, "decode", {{"tokens", Dim(int64_t{1})}});
  module.EraseFunction(forward);
  context.Count("functions", 2);
  return absl::OkStatus();
}

}  // namespace

const PassInfo kSplitPhasesPass = {
    .name = "split-phases",
    .summary = "Makes @prefill (many tokens, logits of the last one) and @decode (one token) from @forward.",
    .example = R"(before  func @forward(%tokens: i32<tokens>, ...)   returns f32<tokens, 128>
after   func @prefill(%tokens: i32<tokens>, ...)   returns f32<1, 128>   func @decode(%tokens: i32<1>, ...))",
    .promise = Promise::kReal,
    .options = {},
    .run = SplitPhases};

}  // namespace dejavu
