// SparsifyMlp.cc: makes each MLP that has a predictor read only the neurons that it lists.
#include <algorithm>

#include "ir/core/Builder.h"
#include "ir/import/WeightTransforms.h"
#include "ir/ops/SparseOps.h"
#include "ir/verify/Verifier.h"
#include "passes/sparsity/SparsityPasses.h"

namespace dejavu {
namespace {

/// Tests the MLP's own input with a copy of its fc1.
bool TestsNeurons(const Operation& op, const Operation& mlp) {
  const bool certified = op.Is("sparse.certified_active");
  if ((!certified && !op.Is("sparse.quantized_active")) || op.operand("x") != mlp.operand("x")) {
    return false;
  }
  const Weight* copy = op.operand(certified ? "q8" : "copy")->weight();
  return copy->sources == std::vector<const Weight*>{mlp.operand("fc1")->weight()};
}

/// Chooses among as many neurons as the MLP has, and says that they are those of layer `layer`.
bool ChoosesNeurons(const Operation& op, const Operation& mlp, int64_t layer) {
  return op.Is("sparse.select") && op.result()->type().shape[0] == Dim("active") &&
         op.GetAttribute<int64_t>("layer") == layer &&
         op.operand("scores")->type().shape[1] == mlp.operand("fc1")->type().shape[0];
}

/// Whether another predictor tests what `op` lists.
bool ListsCandidates(const Operation& op) {
  const auto& uses = op.result()->uses();
  return std::any_of(uses.begin(), uses.end(), [](const Use& use) { return use.Reads("among"); });
}

/// What lists the neurons of the MLP of layer `layer`, and stands before it; null if nothing does. A user error where
/// it tests candidates of another layer.
absl::StatusOr<const Operation*> NeuronPredictorOf(const Function& function, const Operation& mlp, int64_t layer) {
  for (const auto& op : function.ops()) {
    if (op.get() == &mlp) {
      break;
    }
    if (ChoosesNeurons(*op, mlp, layer) && !ListsCandidates(*op)) {
      return op.get();
    }
    if (TestsNeurons(*op, mlp)) {
      const Value* among = op->Is("sparse.quantized_active") ? op->operand("among") : nullptr;
      if (among != nullptr && (among->producer() == nullptr || !ChoosesNeurons(*among->producer(), mlp, layer))) {
        return UserError(op->Describe(), " tests neurons of layer ", layer,
                         ", so its operand 'among' must be what a sparse.select lists of that layer");
      }
      return op.get();
    }
  }
  return nullptr;
}

absl::Status SparsifyMlp(Module& module, PassContext& context) {
  Function* decode = module.FindFunction("decode");
  if (decode == nullptr) {
    return UserError("sparsify-mlp expects a function @decode; run split-phases before it");
  }
  RETURN_IF_ERROR(RequireWeights(*decode));
  std::vector<Operation*> mlps;
  for (const auto& op : decode->ops()) {
    if (op->Is("model.mlp") || op->Is("sparse.mlp")) {
      mlps.push_back(op.get());
    }
  }
  for (size_t layer = 0; layer < mlps.size(); ++layer) {
    Operation* mlp = mlps[layer];
    if (!mlp->Is("model.mlp")) {
      continue;
    }
    ASSIGN_OR_RETURN(const Operation* predictor, NeuronPredictorOf(*decode, *mlp, static_cast<int64_t>(layer)));
    if (predictor == nullptr) {
      continue;
    }
    const Weight* fc2 = mlp->operand("fc2")->weight();
    const Weight* transposed = AddDerivedWeight(module, fc2->name + ".T", "transpose", {fc2});
    Builder builder(decode, mlp);
    ASSIGN_OR_RETURN(Operation * sparse,
                     builder.TryCreate(kSparseMlp,
                                       {mlp->operand("x"), mlp->operand("fc1"), mlp->operand("fc1_bias"),
                                        transposed->value, mlp->operand("fc2_bias"), predictor->result()},
                                       {}, *mlp));
    decode->ReplaceAllUses(mlp->result(), sparse->result());
    decode->Erase(mlp);
    context.Count("MLPs made sparse");
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kSparsifyMlpPass = {
    .name = "sparsify-mlp",
    .summary = "Makes each MLP that has a predictor read only the listed neurons, fc2 neuron by neuron.",
    .example =
        R"(before  %active = sparse.certified_active(%x, @fc1.q8, @fc1.rows)   %y = model.mlp(%x, @fc1, @b1, @fc2, @b2)
after   %active = ...   %y = sparse.mlp(%x, @fc1, @b1, @fc2.T, @b2, %active)   with @fc2.T = transpose(@fc2))",
    .promise = Promise::kUnlessPredicted,
    .options = {},
    .run = SparsifyMlp};

}  // namespace dejavu
