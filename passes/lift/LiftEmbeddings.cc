// LiftEmbeddings.cc: recognises the token and position embeddings by what their indices are.
#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"
#include "passes/lift/Probe.h"

namespace dejavu {
namespace {

Value* FindOrAddArgument(Function& function, const std::string& name, const Type& type) {
  Value* argument = function.FindArgument(name);
  return argument != nullptr ? argument : function.AddArgument(type, name);
}

/// A lookup of rows of a table that is a weight, giving the table.
const Weight* TableOf(const Operation* gather) {
  const Weight* table = gather == nullptr ? nullptr : WeightOf(gather->operand(size_t{0}));
  const bool rows =
      table != nullptr && table->type.rank() == 2 && gather->GetAttribute<int64_t>("axis").value_or(0) == 0;
  return rows ? table : nullptr;
}

bool HoldsTokens(const Probe& probe, const Function& function, const Value* indices) {
  const Value* ids = function.FindArgument("input_ids");
  for (size_t i = 0; i < Probe::kCount && ids != nullptr; ++i) {
    const Tensor* tensor = probe.Find(i, indices);
    if (tensor == nullptr || !tensor->known || tensor->ints != probe.Find(i, ids)->ints) {
      return false;
    }
  }
  return ids != nullptr;
}

/// The offset if the indices are past + t + offset.
std::optional<int64_t> PositionOffset(const Probe& probe, const Value* indices) {
  std::optional<int64_t> offset;
  for (size_t i = 0; i < Probe::kCount; ++i) {
    const Tensor* tensor = probe.Find(i, indices);
    if (tensor == nullptr || !tensor->known || tensor->NumElements() != probe.size(i).tokens) {
      return std::nullopt;
    }
    for (int64_t t = 0; t < probe.size(i).tokens; ++t) {
      const int64_t here = tensor->ints[static_cast<size_t>(t)] - probe.size(i).past - t;
      if (offset.value_or(here) != here) {
        return std::nullopt;
      }
      offset = here;
    }
  }
  return offset;
}

absl::Status LiftTokens(Function& function, const Probe& probe, PassContext& context) {
  for (Operation* op : OpsOf(function, "onnx.Gather")) {
    const Weight* table = TableOf(op);
    if (table == nullptr || !HoldsTokens(probe, function, op->operand(1))) {
      continue;
    }
    Value* tokens = FindOrAddArgument(function, "tokens", {DType::kI32, {"tokens"}});
    Builder builder(&function, op);
    ASSIGN_OR_RETURN(Operation * embed, builder.TryCreate(kEmbedTokens, {tokens, table->value}, {}, *op));
    ReplaceByView(builder, op, embed->result());
    context.Count("token embeddings");
  }
  return absl::OkStatus();
}

absl::Status LiftPositions(Function& function, const Probe& probe, PassContext& context) {
  for (Operation* op : OpsOf(function, "onnx.Add")) {
    const auto split = SplitBy(*op, "onnx.Gather");
    const Weight* table = split ? TableOf(split->first) : nullptr;
    if (table == nullptr) {
      continue;
    }
    const std::optional<int64_t> offset = PositionOffset(probe, split->first->operand(1));
    if (!offset) {
      return UserError(split->first->Describe(), " adds a learned embedding whose rows are not past + t + a constant; ",
                       "expected OPT's position embedding");
    }
    Value* past = FindOrAddArgument(function, "past", {DType::kI64, {}});
    Builder builder(&function, op);
    ASSIGN_OR_RETURN(Value * rows, AsRows(builder, split->second, *op));
    ASSIGN_OR_RETURN(Operation * embed,
                     builder.TryCreate(kEmbedPositions, {rows, past, table->value}, {{"offset", *offset}}, *op));
    ReplaceByView(builder, op, embed->result());
    context.Count("position embeddings");
  }
  return absl::OkStatus();
}

absl::Status LiftEmbeddings(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    ASSIGN_OR_RETURN(const Probe probe, Probe::Run(module, *function, context.weights()));
    RETURN_IF_ERROR(LiftTokens(*function, probe, context));
    RETURN_IF_ERROR(LiftPositions(*function, probe, context));
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kLiftEmbeddingsPass = {
    .name = "lift-embeddings",
    .summary =
        "Recognises token and position embeddings by probing their indices; adds the arguments %tokens and %past.",
    .example = R"(before  %e = onnx.Gather(@wte, %ids)   %p = onnx.Gather(@wpe, %positions)   %x = onnx.Add(%e, %p)
after   %e = model.embed_tokens(%tokens, @wte)   %x = model.embed_positions(%e, %past, @wpe) {offset = 2})",
    .promise = Promise::kReal,
    .options = {},
    .run = LiftEmbeddings};

}  // namespace dejavu
