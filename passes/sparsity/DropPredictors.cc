// DropPredictors.cc: leaves layers dense whose predictors cost more quality than they save bytes.
#include <algorithm>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "ir/verify/Verifier.h"
#include "passes/sparsity/SparsityPasses.h"

namespace dejavu {
namespace {

absl::StatusOr<std::set<int64_t>> ReadLayers(const std::string& text, int64_t layers) {
  std::set<int64_t> numbers;
  for (const std::string& word : std::vector<std::string>(absl::StrSplit(text, '+', absl::SkipEmpty()))) {
    int64_t number = 0;
    if (!absl::SimpleAtoi(word, &number) || number < 0 || number >= layers) {
      return UsageError("drop-predictors: option 'layers' must be numbers from 0 to ", layers - 1,
                        " with plus signs between them, as in 0+3, but has '", word, "'");
    }
    numbers.insert(number);
  }
  return numbers;
}

/// Whether `op` lists neurons or heads for something after it.
bool ListsPart(const Operation& op) { return op.num_results() == 1 && op.result()->type().dtype == DType::kIndex; }

/// Erases `op` and what only it needed.
void EraseWithOperands(Function& function, Operation* op) {
  std::set<Operation*> producers;
  for (const Value* operand : op->operands()) {
    producers.insert(operand != nullptr ? operand->producer() : nullptr);
  }
  producers.erase(nullptr);
  function.Erase(op);
  for (Operation* producer : producers) {
    // It may be gone by now: ask the function.
    const bool is_there = std::any_of(function.ops().begin(), function.ops().end(),
                                      [&](const auto& other) { return other.get() == producer; });
    if (is_there && producer->num_results() == 1 && !producer->result()->has_uses()) {
      EraseWithOperands(function, producer);
    }
  }
}

absl::Status DropPredictors(Module& module, PassContext& context) {
  Function* decode = module.FindFunction("decode");
  if (decode == nullptr) {
    return UserError("drop-predictors expects a function @decode; run split-phases before it");
  }
  std::vector<Operation*> lists;
  std::vector<int64_t> layers;
  int64_t mlps = 0;
  for (const auto& op : decode->ops()) {
    if (ListsPart(*op) && !op->result()->has_uses()) {
      lists.push_back(op.get());
      // A list without a number is that of the MLP right after it.
      layers.push_back(op->GetAttribute<int64_t>("layer").value_or(mlps));
    }
    mlps += op->Is("model.mlp") ? 1 : 0;
  }
  ASSIGN_OR_RETURN(const std::set<int64_t> dense, ReadLayers(context.Option("layers"), mlps));
  for (size_t i = 0; i < lists.size(); ++i) {
    if (dense.contains(layers[i])) {
      EraseWithOperands(*decode, lists[i]);
      context.Count("predictors dropped");
    }
  }
  module.EraseDeadWeights();
  return absl::OkStatus();
}

constexpr PassOption kDropPredictorsOptions[] = {{"layers", "", "numbers of layers that stay dense, as in 0+3"}};

}  // namespace

const PassInfo kDropPredictorsPass = {
    .name = "drop-predictors",
    .summary = "Takes the predictors of some layers away before anything uses them, so that these stay dense.",
    .example =
        R"(before  %active = sparse.certified_active(%x, @fc1.q8, @fc1.rows) : index<active>   %y = model.mlp(%x, ...)
after   %y = model.mlp(%x, ...)   with layers=0)",
    .promise = Promise::kBits,
    .options = kDropPredictorsOptions,
    .run = DropPredictors};

}  // namespace dejavu
