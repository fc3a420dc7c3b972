// SparsifyAttention.cc: makes each attention whose heads are predicted read only the listed ones.
//
// With kv=lazy a layer's heads that are not listed get no keys and values. Then @decode and @prefill take and return
// two more values for the layer: the inputs of its attention, and how many of them each head has seen.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ir/core/Builder.h"
#include "ir/ops/SparseOps.h"
#include "ir/verify/Verifier.h"
#include "passes/sparsity/SparsityPasses.h"

namespace dejavu {
namespace {

/// What lists the heads of the attention of layer `layer`, and stands before it.
Operation* HeadPredictorOf(const Function& function, const Operation& attention, int64_t layer) {
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

std::vector<Operation*> Attentions(const Function& function) {
  std::vector<Operation*> attentions;
  for (const auto& op : function.ops()) {
    if (op->Is("model.attention") || op->Is("sparse.attention") || op->Is("sparse.lazy_attention")) {
      attentions.push_back(op.get());
    }
  }
  return attentions;
}

/// The arguments that layer `layer` needs beside its cache so that its heads may sleep.
struct LazyState {
  Value* inputs;
  Value* filled;
};
LazyState AddState(Function& function, const Operation& attention, int64_t layer) {
  const Type& cache = attention.operand("cache")->type();
  const Dim one(int64_t{1});
  const Type inputs = {DType::kF32, {one, one, cache.shape[2], attention.operand("x")->type().shape[1]}};
  const Type filled = {DType::kI32, {one, cache.shape[1], one, one}};
  return {function.AddArgument(inputs, absl::StrCat("inputs", layer)),
          function.AddArgument(filled, absl::StrCat("filled", layer))};
}

/// Returns the last two results of `op` under the names of what they were before.
void ReturnState(Function& function, const Operation& op, const LazyState& state) {
  std::vector<Value*> returns = function.returns();
  std::vector<std::string> names = function.return_names();
  size_t result = op.num_results() - 2;
  for (const Value* value : {state.inputs, state.filled}) {
    op.result(result)->set_name("new_" + value->name());
    returns.push_back(op.result(result++));
    names.push_back(value->name());
  }
  function.SetReturns(std::move(returns), std::move(names));
}

/// Puts an attention of the heads in `list` into the place of `attention`.
absl::Status Replace(Function& decode, Operation* attention, Value* list, const OpSchema& schema,
                     const std::optional<LazyState>& state) {
  // The list stands behind the cache in both.
  std::vector<Value*> operands = attention->operands();
  operands.resize(static_cast<size_t>(attention->schema().OperandIndex("past")));
  operands.push_back(list);
  if (state) {
    operands.push_back(state->inputs);
    operands.push_back(state->filled);
  } else {
    operands.push_back(attention->operand("past"));
  }
  Builder builder(&decode, attention);
  ASSIGN_OR_RETURN(const Operation* sparse,
                   builder.TryCreate(schema, std::move(operands), attention->attributes(), *attention));
  for (size_t i = 0; i < attention->num_results(); ++i) {
    sparse->result(i)->set_name(attention->result(i)->name());
    decode.ReplaceAllUses(attention->result(i), sparse->result(i));
  }
  if (state) {
    ReturnState(decode, *sparse, *state);
  }
  decode.Erase(attention);
  return absl::OkStatus();
}

/// After the same attention of @prefill, all heads have all keys and values.
absl::Status KeepInputs(Function& prefill, const Operation& attention, int64_t layer) {
  const LazyState state = AddState(prefill, attention, layer);
  Builder builder(&prefill, &attention);
  ASSIGN_OR_RETURN(const Operation* kept,
                   builder.TryCreate(kKeepInputs, {attention.operand("x"), state.inputs, state.filled}, {}, attention));
  ReturnState(prefill, *kept, state);
  return absl::OkStatus();
}

absl::Status SparsifyAttention(Module& module, PassContext& context) {
  const std::string& kv = context.Option("kv");
  if (kv != "dense" && kv != "lazy") {
    return UsageError("sparsify-attention: option 'kv' must be dense or lazy, but is '", kv, "'");
  }
  const bool lazy = kv == "lazy";
  Function* decode = module.FindFunction("decode");
  Function* prefill = module.FindFunction("prefill");
  if (decode == nullptr || (lazy && prefill == nullptr)) {
    return UserError("sparsify-attention expects ", lazy ? "the functions @prefill and" : "a function",
                     " @decode; run split-phases before it");
  }
  RETURN_IF_ERROR(RequireWeights(*decode));
  const std::vector<Operation*> attentions = Attentions(*decode);
  const std::vector<Operation*> of_prefill = lazy ? Attentions(*prefill) : attentions;
  if (attentions.size() != of_prefill.size()) {
    return UserError("sparsify-attention expects as many attentions in @prefill as in @decode, but there are ",
                     of_prefill.size(), " and ", attentions.size());
  }
  for (size_t layer = 0; layer < attentions.size(); ++layer) {
    Operation* attention = attentions[layer];
    const auto number = static_cast<int64_t>(layer);
    const Operation* predictor =
        attention->Is("model.attention") ? HeadPredictorOf(*decode, *attention, number) : nullptr;
    if (predictor == nullptr) {
      continue;
    }
    if (lazy && attention->operand("past") != nullptr) {
      return UserError("sparsify-attention{kv=lazy}: ", attention->Describe(), " is of a batch; use kv=dense");
    }
    std::optional<LazyState> state;
    if (lazy) {
      RETURN_IF_ERROR(KeepInputs(*prefill, *of_prefill[layer], number));
      state = AddState(*decode, *attention, number);
    }
    RETURN_IF_ERROR(Replace(*decode, attention, predictor->result(), lazy ? kLazyAttention : kSparseAttention, state));
    context.Count("attentions made sparse");
  }
  return absl::OkStatus();
}

constexpr PassOption kSparsifyAttentionOptions[] = {
    {"kv", "dense", "dense: the cache gets the keys and values of all heads; lazy: of those listed, when they are"}};

}  // namespace

const PassInfo kSparsifyAttentionPass = {
    .name = "sparsify-attention",
    .summary = "Makes each attention whose heads are predicted compute only the listed ones.",
    .example =
        R"(before  %heads = sparse.select(%scores) {layer = 1} : index<heads>   %y, %kv = model.attention(%x, ..., %cache)
after   %heads = ...   %y, %kv = sparse.attention(%x, ..., %cache, %heads)
kv=lazy %heads = ...   %y, %kv, %in, %f = sparse.lazy_attention(%x, ..., %cache, %heads, %inputs1, %filled1))",
    .promise = Promise::kUnlessPredicted,
    .options = kSparsifyAttentionOptions,
    .run = SparsifyAttention};

}  // namespace dejavu
