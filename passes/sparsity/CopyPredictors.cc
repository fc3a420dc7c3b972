#include "passes/sparsity/CopyPredictors.h"

#include "absl/strings/numbers.h"
#include "ir/core/Builder.h"
#include "ir/import/CopyTransforms.h"
#include "ir/ops/SparseOps.h"

namespace dejavu {
namespace {

/// The layer norm that makes the MLP's input.
absl::StatusOr<const Operation*> NormBefore(const Operation& mlp) {
  const Operation* norm = mlp.operand("x")->producer();
  if (norm == nullptr || !norm->Is("model.layer_norm") || norm->operand("gamma")->weight() == nullptr ||
      norm->operand("beta")->weight() == nullptr) {
    return UserError(mlp.Describe(),
                     " must read a layer norm's result: the margin of a copy of fc1 follows from gamma and beta; use "
                     "insert-predictors{kind=certified}");
  }
  return norm;
}

}  // namespace

absl::StatusOr<CopyOptions> ReadCopyOptions(const PassContext& context) {
  CopyOptions options;
  ASSIGN_OR_RETURN(options.bits, context.IntOption("bits"));
  ASSIGN_OR_RETURN(options.group, context.IntOption("group"));
  const std::string& text = context.Option("margin");
  if (!absl::SimpleAtod(text, &options.margin)) {
    return UsageError("insert-predictors: option 'margin' must be a number from -1e6 to 1e6, but is '", text, "'");
  }
  RETURN_IF_ERROR(CheckCopyOptions(options));
  return options;
}

const Weight* BiasOfFc1(Module& module, const Operation& mlp) {
  const Weight* fc1 = mlp.operand("fc1")->weight();
  const Value* bias = mlp.operand("fc1_bias");
  return bias != nullptr ? bias->weight() : AddDerivedWeight(module, fc1->name + ".zeros", "zeros", {fc1});
}

absl::Status InsertCopyPredictor(Module& module, Function& decode, const Operation& mlp, const CopyOptions& options,
                                 Value* among, PassContext& context) {
  ASSIGN_OR_RETURN(const Operation* norm, NormBefore(mlp));
  const Weight* fc1 = mlp.operand("fc1")->weight();
  const auto add = [&](CopyPart part, const char* suffix, std::vector<const Weight*> sources) {
    const std::string transform = CopyTransformName(part, options.bits, options.group);
    return AddDerivedWeight(module, absl::StrCat(fc1->name, ".int", options.bits, suffix), transform,
                            std::move(sources))
        ->value;
  };
  Value* copy = add(CopyPart::kCopy, "", {fc1});
  Value* scales = add(CopyPart::kScales, "_scales", {fc1});
  Value* rows = add(CopyPart::kRows, "_rows",
                    {fc1, BiasOfFc1(module, mlp), norm->operand("gamma")->weight(), norm->operand("beta")->weight()});
  Builder builder(&decode, &mlp);
  ASSIGN_OR_RETURN(
      Operation * predictor,
      builder.TryCreate(kQuantizedActive, {mlp.operand("x"), copy, scales, rows, among},
                        {{"bits", options.bits}, {"group", options.group}, {"margin", options.margin}}, mlp));
  predictor->result()->set_name("active");
  if (among != nullptr) {
    among->set_name("candidates");
  }
  context.Count(among == nullptr ? "predictors inserted" : "cascades inserted");
  return absl::OkStatus();
}

}  // namespace dejavu
