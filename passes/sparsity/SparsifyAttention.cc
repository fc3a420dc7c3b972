// SparsifyAttention.cc: makes each attention whose heads are predicted read only the listed ones.
#include "ir/core/Builder.h"
#include "ir/ops/SparseOps.h"
#include "ir/verify/Verifier.h"
#include "passes/sparsity/SparsityPasses.h"

namespace dejavu {
namespace {

/// What lists the heads of the attention of layer `layer`, and stands before it.
Operation* PredictorOf(const Function& function, const Operation& attention, int64_t layer) {
  for (const auto& op : function.ops()) {
    if (op.get() == &attention) {
      break;
    }
    if (op->Is("sparse.select") && op->result()->type().shape[0] == Dim("heads") &&
        op->GetAttribute<int64_t>("layer") == layer &&
        op->operand("scores")->type().shape[1] == attention.operand("cache")->type().shape[1]) {
      return op.get();
    }
  }
  return nullptr;
}

absl::Status SparsifyAttention(Module& module, PassContext& context) {
  Function* decode = module.FindFunction("decode");
  if (decode == nullptr) {
    return UserError("sparsify-attention expects a function @decode; run split-phases before it");
  }
  RETURN_IF_ERROR(RequireWeights(*decode));
  std::vector<Operation*> attentions;
  for (const auto& op : decode->ops()) {
    if (op->Is("model.attention") || op->Is("sparse.attention")) {
      attentions.push_back(op.get());
    }
  }
  for (size_t layer = 0; layer < attentions.size(); ++layer) {
    Operation* attention = attentions[layer];
    const Operation* predictor =
        attention->Is("model.attention") ? PredictorOf(*decode, *attention, static_cast<int64_t>(layer)) : nullptr;
    if (predictor == nullptr) {
      continue;
    }
    // The list stands before `past`, which comes last in both.
    std::vector<Value*> operands = attention->operands();
    operands.resize(static_cast<size_t>(attention->schema().OperandIndex("past")));
    operands.push_back(predictor->result());
    operands.push_back(attention->operand("past"));
    Builder builder(decode, attention);
    ASSIGN_OR_RETURN(const Operation* sparse,
                     builder.TryCreate(kSparseAttention, std::move(operands), attention->attributes(), *attention));
    for (size_t i = 0; i < attention->num_results(); ++i) {
      sparse->result(i)->set_name(attention->result(i)->name());
      decode->ReplaceAllUses(attention->result(i), sparse->result(i));
    }
    decode->Erase(attention);
    context.Count("attentions made sparse");
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kSparsifyAttentionPass = {
    .name = "sparsify-attention",
    .summary = "Makes each attention whose heads are predicted compute only the listed ones; the cache stays whole.",
    .example =
        R"(before  %heads = sparse.select(%scores) {layer = 1} : index<heads>   %y, %kv = model.attention(%x, ..., %cache)
after   %heads = ...   %y, %kv = sparse.attention(%x, ..., %cache, %heads))",
    .promise = Promise::kUnlessPredicted,
    .options = {},
    .run = SparsifyAttention};

}  // namespace dejavu
