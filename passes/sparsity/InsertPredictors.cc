// InsertPredictors.cc: puts before each MLP of @decode what will say which of its neurons a token needs.
#include <algorithm>
#include <initializer_list>

#include "ir/core/Builder.h"
#include "ir/import/WeightTransforms.h"
#include "ir/ops/SparseOps.h"
#include "ir/verify/Verifier.h"
#include "passes/sparsity/CopyPredictors.h"
#include "passes/sparsity/LowRankPredictors.h"
#include "passes/sparsity/OraclePredictors.h"
#include "passes/sparsity/SparsityPasses.h"

namespace dejavu {
namespace {

absl::Status InsertCertifiedTest(Module& module, Function& decode, const Operation& mlp, PassContext& context) {
  const Weight* fc1 = mlp.operand("fc1")->weight();
  const Weight* q8 = AddDerivedWeight(module, fc1->name + ".q8", "quantize", {fc1});
  const Weight* rows = AddDerivedWeight(module, fc1->name + ".rows", "quantized_rows", {fc1, BiasOfFc1(module, mlp)});
  Builder builder(&decode, &mlp);
  ASSIGN_OR_RETURN(Operation * predictor,
                   builder.TryCreate(kCertifiedActive, {mlp.operand("x"), q8->value, rows->value}, {}, mlp));
  predictor->result()->set_name("active");
  context.Count("predictors inserted");
  return absl::OkStatus();
}

std::vector<const Operation*> FindMlps(const Function& decode) {
  std::vector<const Operation*> mlps;
  for (const auto& op : decode.ops()) {
    if (op->Is("model.mlp")) {
      mlps.push_back(op.get());
    }
  }
  return mlps;
}

bool IsFrom(PredictorFamily family, std::initializer_list<PredictorFamily> families) {
  return std::find(families.begin(), families.end(), family) != families.end();
}

/// What a module with such predictors, and those of heads if it has them, is: as sparse as the least exact of them.
std::string SparsityOf(const std::vector<LayerPredictor>& plan, bool has_heads) {
  using enum PredictorFamily;
  const auto any = [&](std::initializer_list<PredictorFamily> families) {
    return std::any_of(plan.begin(), plan.end(),
                       [&](const LayerPredictor& layer) { return IsFrom(layer.family, families); });
  };
  return has_heads || any({kCopy, kLowRank, kCascade}) ? "predicted" : any({kCertified}) ? "exact" : "none";
}

/// The neurons that are listed for layer `layer` so far; null if none are.
Value* CandidatesOf(const Function& decode, int64_t layer) {
  for (const auto& op : decode.ops()) {
    if (op->Is("sparse.select") && op->result()->type().shape[0] == Dim("active") &&
        op->GetAttribute<int64_t>("layer") == layer) {
      return op->result();
    }
  }
  return nullptr;
}

/// Each layer has what the plan says.
absl::Status InsertPlanned(Module& module, Function& decode, const std::vector<LayerPredictor>& plan,
                           const LowRankOptions& low_rank, PassContext& context) {
  using enum PredictorFamily;
  const std::vector<const Operation*> mlps = FindMlps(decode);
  if (plan.size() != mlps.size()) {
    return UsageError("insert-predictors: option 'plan' must have a word for each of ", mlps.size(),
                      " layers, but has ", plan.size());
  }
  const bool has_heads = low_rank.trained && low_rank.trained->has_heads();
  module.SetAttribute("sparsity", SparsityOf(plan, has_heads));
  LowRankOptions trained = low_rank;
  std::vector<std::optional<double>> masses(plan.size());
  for (size_t layer = 0; layer < plan.size(); ++layer) {
    if (IsFrom(plan[layer].family, {kLowRank, kCascade})) {
      masses[layer] = plan[layer].mass;
    }
  }
  const bool has_masses = std::any_of(masses.begin(), masses.end(), [](const auto& mass) { return mass.has_value(); });
  if (has_masses && !trained.trained) {
    return UsageError(
        "insert-predictors: option 'plan' has low-rank/MASS or cascade/MASS, which needs the option 'profile'");
  }
  if (has_masses || has_heads) {
    trained.trained->masses = std::move(masses);
    RETURN_IF_ERROR(InsertTrainedPredictors(module, decode, trained, context));
  }
  for (size_t layer = 0; layer < plan.size(); ++layer) {
    if (plan[layer].family == kCertified) {
      RETURN_IF_ERROR(InsertCertifiedTest(module, decode, *mlps[layer], context));
    } else if (IsFrom(plan[layer].family, {kCopy, kCascade})) {
      Value* among = plan[layer].family == kCopy ? nullptr : CandidatesOf(decode, static_cast<int64_t>(layer));
      RETURN_IF_ERROR(InsertCopyPredictor(module, decode, *mlps[layer], plan[layer].copy, among, context));
    }
  }
  return absl::OkStatus();
}

/// Low-rank predictors in all layers, and with `copy` the copies that test what they list.
absl::Status InsertLowRank(Module& module, Function& decode, LowRankOptions options,
                           const std::optional<CopyOptions>& copy, PassContext& context) {
  module.SetAttribute("sparsity", std::string("predicted"));
  if (options.trained) {
    options.trained->copy = copy;
    RETURN_IF_ERROR(InsertTrainedPredictors(module, decode, options, context));
  } else {
    RETURN_IF_ERROR(InsertLowRankPredictors(module, decode, options, context));
  }
  if (!copy) {
    return absl::OkStatus();
  }
  int64_t layer = 0;
  for (const Operation* mlp : FindMlps(decode)) {
    RETURN_IF_ERROR(InsertCopyPredictor(module, decode, *mlp, *copy, CandidatesOf(decode, layer++), context));
  }
  return absl::OkStatus();
}

/// Of all layers: what is active, or of that what a profile's thresholds keep.
absl::Status InsertOracles(Module& module, Function& decode, LowRankOptions options, PassContext& context) {
  module.SetAttribute("sparsity", std::string("oracle"));
  if (options.trained) {
    if (options.trained->has_heads()) {
      return UsageError(
          "insert-predictors: kind=oracle is of neurons alone; leave out the options 'head-share' and 'head-plan'");
    }
    options.oracle = true;
    return InsertTrainedPredictors(module, decode, options, context);
  }
  const std::vector<const Operation*> mlps = FindMlps(decode);
  for (size_t layer = 0; layer < mlps.size(); ++layer) {
    RETURN_IF_ERROR(
        InsertOracle(decode, *mlps[layer], mlps[layer]->operand("fc1_bias"), static_cast<int64_t>(layer), context));
  }
  return absl::OkStatus();
}

absl::Status InsertPredictors(Module& module, PassContext& context) {
  const std::string& kind = context.Option("kind");
  if (kind != "certified" && kind != "copy" && kind != "low-rank" && kind != "cascade" && kind != "oracle" &&
      kind != "none") {
    return UsageError(
        "insert-predictors: option 'kind' must be certified, copy, low-rank, cascade, oracle or none, but is '", kind,
        "'");
  }
  ASSIGN_OR_RETURN(const LowRankOptions low_rank, ReadLowRankOptions(context));
  ASSIGN_OR_RETURN(const CopyOptions copy, ReadCopyOptions(context));
  std::vector<LayerPredictor> plan;
  if (!context.Option("plan").empty()) {
    ASSIGN_OR_RETURN(plan, ParsePredictorPlan(context.Option("plan")));
  }
  Function* decode = module.FindFunction("decode");
  if (decode == nullptr) {
    return UserError("insert-predictors expects a function @decode; run split-phases before it");
  }
  RETURN_IF_ERROR(RequireWeights(*decode));
  module.set_stage("sparse");
  if (plan.empty() && (kind == "low-rank" || kind == "cascade")) {
    return InsertLowRank(module, *decode, low_rank, kind == "cascade" ? std::optional(copy) : std::nullopt, context);
  }
  if (plan.empty() && kind == "oracle") {
    return InsertOracles(module, *decode, low_rank, context);
  }
  if (plan.empty()) {
    const PredictorFamily family = kind == "copy"        ? PredictorFamily::kCopy
                                   : kind == "certified" ? PredictorFamily::kCertified
                                                         : PredictorFamily::kNone;
    plan.assign(FindMlps(*decode).size(), {.family = family, .copy = copy});
  }
  return InsertPlanned(module, *decode, plan, low_rank, context);
}

constexpr PassOption kInsertPredictorsOptions[] = {
    {"kind", "certified",
     "certified: a quantised copy of fc1 with a bound, which loses nothing; copy: one of few bits with a margin, which "
     "needs no training; low-rank: the paper's two small matrices; cascade: a copy tests what these list; oracle: fc1 "
     "itself, for evaluation: it saves nothing and shows what the best predictor could; none: no predictors"},
    {"plan", "",
     "instead of kind: none, certified, copy/BITS/GROUP/MARGIN, low-rank/MASS or cascade/MASS/BITS/GROUP/MARGIN for "
     "each layer, with plus signs between them; the last two need profile"},
    {"bits", "4", "copy, cascade: of each element of the copy: 2, 3, 4 or 8"},
    {"group", "64", "copy, cascade: columns that share a scale: 32, 64 or 128"},
    {"margin", "1", "copy, cascade: in deviations of what the copy is off by; a larger one computes more neurons"},
    {"profile", "",
     "low-rank, cascade: the directory of trained predictors that dejavu-profile wrote; without it they are made up, "
     "for synthetic shapes; oracle: whose thresholds it keeps; without it all that is active is chosen"},
    {"mass", "0.999",
     "low-rank, cascade, oracle: with a profile, the share of each layer's activations that thresholds keep; 1: "
     "neurons stay dense, a cascade's copy tests all of them, an oracle chooses all that is active"},
    {"head-share", "",
     "low-rank: with a profile, the share of the heads of all layers that its thresholds choose; none: heads are "
     "dense"},
    {"head-plan", "",
     "instead of head-share: none or a share that the profile has for each layer, with plus signs between them"},
    {"matrix-bits", "",
     "low-rank: of each element of the matrices: 4, or 8 or 16, of which batches need one on a GPU; unless said, what "
     "the profile was made for, or else 4"},
    {"rank", "",
     "low-rank: rows of made-up first matrices, 1008 unless said (the paper has 1000); for 4 bits rounded up to a "
     "multiple of 32"},
    {"lookahead", "",
     "low-rank: 1: neurons are chosen from the input of their layer's attention, heads from the input of the attention "
     "one layer before (those of the first layer are not chosen); N: both from N - 1 layers further ahead, but not "
     "before the first; 0: from the input of their own block. Unless said, 1, or what the profile was made with; "
     "another one than the profile's is refused"},
    {"choose", "positive",
     "low-rank: positive: neurons and heads whose score is above zero, a threshold being part of the bias; by-score: "
     "likewise, with made-up biases that leave the choice to each token's scores, where else they make it alone; "
     "largest: always as many as the density says, those with the largest scores"},
    {"mlp-density", "",
     "low-rank: the share of each layer's neurons that is chosen; none: neurons are not predicted; with a profile for "
     "choose=largest alone"},
    {"head-density", "", "low-rank: the same for heads"}};

}  // namespace

const PassInfo kInsertPredictorsPass = {.name = "insert-predictors",
                                        .summary =
                                            "Inserts into @decode what predicts the active neurons of each MLP, and "
                                            "the heads, and enters the sparse stratum.",
                                        .example = R"(before  %y = model.mlp(%x, @fc1, @b1, @fc2, @b2)
after   %active = sparse.certified_active(%x, @fc1.q8, @fc1.rows) : index<active>   %y = model.mlp(...))",
                                        .promise = Promise::kReal,
                                        .options = kInsertPredictorsOptions,
                                        .run = InsertPredictors};

}  // namespace dejavu
