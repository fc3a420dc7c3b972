#include "passes/sparsity/LowRankPredictors.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "ir/base/PredictorRows.h"
#include "ir/core/Builder.h"
#include "ir/import/SyntheticWeights.h"
#include "ir/ops/SparseOps.h"
#include "passes/sparsity/Lookahead.h"
#include "passes/sparsity/PredictorPlan.h"

namespace dejavu {
namespace {

constexpr int64_t kMaxRank = 1 << 16;
// At least the paper's 1000, and a multiple of 16, which is read fastest.
constexpr int64_t kDefaultRank = 1008;
constexpr int64_t kDefaultBits = 4;
constexpr int64_t kDefaultLookahead = 1;

absl::StatusOr<std::optional<double>> ReadDensity(const PassContext& context, std::string_view name) {
  const std::string& text = context.Option(name);
  if (text.empty()) {
    return std::nullopt;
  }
  char* end = nullptr;
  const double density = std::strtod(text.c_str(), &end);
  const bool is_share = density > 0 && density <= 1;
  if (*end != '\0' || !is_share) {
    return UsageError("insert-predictors: option '", std::string(name), "' must be above 0 and at most 1, but is '",
                      text, "'");
  }
  return density;
}

absl::Status ReadHeadPlan(const PassContext& context, LowRankOptions& options) {
  const std::string& plan = context.Option("head-plan");
  if (plan.empty()) {
    return absl::OkStatus();
  }
  if (!options.trained) {
    return UsageError("insert-predictors: option 'head-plan' needs the option 'profile', whose thresholds it names");
  }
  if (options.trained->head_share) {
    return UsageError("insert-predictors: options 'head-plan' and 'head-share' exclude each other");
  }
  ASSIGN_OR_RETURN(options.trained->head_shares, ParseHeadPlan(plan));
  return absl::OkStatus();
}

/// Some of the neurons or heads of a layer.
struct Choice {
  const char* owner;   // in the weights' names
  const char* symbol;  // of the list's type
  int64_t count;       // how many there are
  int64_t chosen;      // the budget
};

Choice ChoiceOf(const char* owner, const char* symbol, int64_t count, const std::optional<double>& density) {
  // At least one: a list that is always empty would be no predictor.
  const int64_t chosen = std::clamp<int64_t>(std::llround(density.value_or(0) * static_cast<double>(count)), 1, count);
  return {owner, symbol, count, density ? chosen : 0};
}

class Inserter {
 public:
  Inserter(Module& module, Function& decode, const LowRankOptions& options, PassContext& context)
      : module_(module),
        decode_(decode),
        options_(options),
        bits_(options.bits.value_or(kDefaultBits)),
        lookahead_(options.lookahead.value_or(kDefaultLookahead)),
        context_(context) {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(const std::vector<Block> blocks, FindBlocks(decode_));
    const auto layers = static_cast<int64_t>(blocks.size());
    for (int64_t layer = 0; layer < layers; ++layer) {
      const Block& block = blocks[static_cast<size_t>(layer)];
      const Weight* fc1 = block.mlp->operand("fc1")->weight();
      const Choice neurons = ChoiceOf("mlp", "active", fc1->type.shape[0].size(), options_.mlp_density);
      const Choice heads =
          ChoiceOf("heads", "heads", block.attention->operand("cache")->type().shape[1].size(), options_.head_density);
      file_ =
          SyntheticPredictorFile(fc1->file, {options_.rank, neurons.chosen, heads.chosen, options_.by_score, bits_});
      if (options_.mlp_density) {
        MakeChosenActive(*block.mlp);
        const std::optional<int64_t> from = NeuronsFrom(layer, lookahead_);
        RETURN_IF_ERROR(Insert(from ? *blocks[static_cast<size_t>(*from)].attention : *block.mlp, layer, neurons));
      }
      const std::optional<int64_t> from = HeadsFrom(layer, lookahead_);
      if (options_.head_density && from) {
        RETURN_IF_ERROR(Insert(*blocks[static_cast<size_t>(*from)].attention, layer, heads));
      }
    }
    return absl::OkStatus();
  }

 private:
  /// A synthetic model's predictors know nothing of its activations. What they choose shall be active, as it is where
  /// they do, so its biases come with them.
  void MakeChosenActive(const Operation& mlp) {
    const Value* bias = mlp.operand("fc1_bias");
    if (bias != nullptr) {
      module_.FindWeight(bias->weight()->name)->file = file_;
    }
  }

  /// Before `at`, from its input, what chooses among the neurons or heads of layer `layer`.
  absl::Status Insert(const Operation& at, int64_t layer, const Choice& choice) {
    const std::string prefix = absl::StrCat("layers.", layer, ".", choice.owner, ".predictor.");
    const int64_t count = choice.count;
    const int64_t width = at.operand("x")->type().shape[1].size();
    PredictorWeights weights;
    std::tie(weights.down, weights.down_scales) = AddMatrix(prefix + "down", options_.rank, width);
    std::tie(weights.up, weights.up_scales) = AddMatrix(prefix + "up", count, options_.rank);
    weights.up_bias = options_.largest ? nullptr : Add(prefix + "bias", {DType::kF32, {count}});
    RETURN_IF_ERROR(InsertPredictor(decode_, at, weights, layer, choice.symbol, options_.largest ? choice.chosen : 0));
    context_.Count("predictors inserted");
    return absl::OkStatus();
  }

  /// And its scales, if it has some.
  std::pair<Value*, Value*> AddMatrix(const std::string& name, int64_t rows, int64_t columns) {
    if (bits_ == 16) {
      return {Add(name, {DType::kF16, {rows, columns}}), nullptr};
    }
    const int64_t bytes = PredictorRowBytes(PredictorBitsFor(bits_, columns), columns);
    return {Add(name, {DType::kI8, {rows, bytes}}), Add(name + "_scales", {DType::kF32, {rows}})};
  }

  Value* Add(const std::string& name, Type type) {
    Weight weight;
    weight.name = name;
    weight.type = std::move(type);
    weight.file = file_;
    weight.tensor = name;
    return module_.AddWeight(std::move(weight))->value;
  }

  Module& module_;
  Function& decode_;
  const LowRankOptions& options_;
  int64_t bits_;
  int64_t lookahead_;
  PassContext& context_;
  std::string file_;  // of the layer's predictors
};

/// x times a matrix in 16 bits, which has no scales, or in 8 or 4.
absl::StatusOr<Value*> InsertStage(Builder& builder, Value* x, Value* matrix, Value* scales, Value* bias,
                                   const Operation& at) {
  if (scales == nullptr) {
    ASSIGN_OR_RETURN(const Operation* linear, builder.TryCreate(kLinear, {x, matrix, bias}, {}, at));
    return linear->result();
  }
  ASSIGN_OR_RETURN(const Operation* linear, builder.TryCreate(kQuantizedLinear, {x, matrix, scales, bias}, {}, at));
  return linear->result();
}

}  // namespace

absl::StatusOr<std::vector<Block>> FindBlocks(const Function& decode) {
  std::vector<Block> blocks;
  Block block;
  for (const auto& op : decode.ops()) {
    block.attention = op->Is("model.attention") ? op.get() : block.attention;
    if (op->Is("model.mlp")) {
      block.mlp = op.get();
      if (block.attention == nullptr) {
        return UserError(op->Describe(), " has no attention before it, from whose input its neurons are predicted");
      }
      blocks.push_back(block);
      block = {};
    }
  }
  return blocks;
}

absl::Status InsertPredictor(Function& decode, const Operation& at, const PredictorWeights& weights, int64_t layer,
                             const std::string& symbol, int64_t k) {
  Builder builder(&decode, &at);
  Value* from = at.operand("x");
  if (weights.down != nullptr) {
    ASSIGN_OR_RETURN(from, InsertStage(builder, from, weights.down, weights.down_scales, weights.down_bias, at));
  }
  ASSIGN_OR_RETURN(Value * scores, InsertStage(builder, from, weights.up, weights.up_scales, weights.up_bias, at));
  AttributeMap attributes = {{"layer", layer}};
  if (k > 0) {
    attributes["k"] = k;
  }
  const Operation* list =
      builder.CreateTyped(kSelect, {scores}, std::move(attributes), {{DType::kIndex, {Dim(symbol)}}}, at.location());
  list->result()->set_name(symbol);
  return absl::OkStatus();
}

absl::StatusOr<LowRankOptions> ReadLowRankOptions(const PassContext& context) {
  LowRankOptions options;
  if (!context.Option("matrix-bits").empty()) {
    ASSIGN_OR_RETURN(options.bits, context.IntOption("matrix-bits"));
    if (!IsMatrixBits(*options.bits)) {
      return UsageError("insert-predictors: option 'matrix-bits' must be 16, 8 or 4, but is ", *options.bits);
    }
  }
  options.rank = kDefaultRank;
  if (!context.Option("rank").empty()) {
    ASSIGN_OR_RETURN(options.rank, context.IntOption("rank"));
  }
  if (options.bits.value_or(kDefaultBits) == 4) {
    // Rows of the second matrix are packed whole.
    options.rank = (options.rank + kPackedColumns - 1) / kPackedColumns * kPackedColumns;
  }
  if (!context.Option("lookahead").empty()) {
    ASSIGN_OR_RETURN(options.lookahead, context.IntOption("lookahead"));
    if (*options.lookahead < 0 || *options.lookahead > kMaxLookahead) {
      return UsageError("insert-predictors: option 'lookahead' must be from 0 to ", kMaxLookahead, ", but is ",
                        *options.lookahead);
    }
  }
  if (!context.Option("profile").empty()) {
    ASSIGN_OR_RETURN(const std::optional<double> mass, ReadDensity(context, "mass"));
    ASSIGN_OR_RETURN(const std::optional<double> head_share, ReadDensity(context, "head-share"));
    options.trained = TrainedOptions{context.Option("profile"), mass.value_or(1), head_share};
  }
  RETURN_IF_ERROR(ReadHeadPlan(context, options));
  ASSIGN_OR_RETURN(options.mlp_density, ReadDensity(context, "mlp-density"));
  ASSIGN_OR_RETURN(options.head_density, ReadDensity(context, "head-density"));
  if (options.rank < 1 || options.rank > kMaxRank) {
    return UsageError("insert-predictors: option 'rank' must be from 1 to ", kMaxRank, ", but is ", options.rank);
  }
  const std::string& choose = context.Option("choose");
  options.largest = choose == "largest";
  options.by_score = choose == "by-score";
  if (choose != "largest" && choose != "positive" && choose != "by-score") {
    return UsageError("insert-predictors: option 'choose' must be positive, by-score or largest, but is '", choose,
                      "'");
  }
  if (options.trained && options.head_density) {
    return UsageError(
        "insert-predictors: option 'head-density' is for made-up predictors; of a profile's heads the "
        "option 'head-share' says how many are chosen");
  }
  if (options.trained && options.mlp_density && !options.largest) {
    return UsageError(
        "insert-predictors: option 'mlp-density' with a profile needs choose=largest; its thresholds keep "
        "what the option 'mass' says");
  }
  if (options.largest && !context.Option("plan").empty()) {
    return UsageError("insert-predictors: choose=largest is of one density for all layers, which a plan has not");
  }
  if (options.trained && options.largest) {
    if (!options.mlp_density) {
      return UsageError(
          "insert-predictors: choose=largest with a profile needs the option 'mlp-density': a profile has thresholds, "
          "not budgets");
    }
    options.trained->largest = options.mlp_density;
  }
  return options;
}

absl::Status InsertLowRankPredictors(Module& module, Function& decode, const LowRankOptions& options,
                                     PassContext& context) {
  if (!IsSynthetic(module) || !(options.mlp_density || options.head_density)) {
    return UsageError(
        "--sparsity=predicted needs --profile=DIR, or for a --synthetic shape --mlp-density or --head-density");
  }
  const auto layers =
      std::count_if(decode.ops().begin(), decode.ops().end(), [](const auto& op) { return op->Is("model.attention"); });
  if (options.head_density && !HeadsFrom(layers - 1, options.lookahead.value_or(kDefaultLookahead))) {
    return UsageError("--head-density: heads are predicted from a layer before, but the model has only ", layers);
  }
  for (const auto& [name, density] :
       {std::pair("mlp_density", options.mlp_density), std::pair("head_density", options.head_density)}) {
    if (density) {
      module.SetAttribute(name, *density);
    }
  }
  return Inserter(module, decode, options, context).Run();
}

}  // namespace dejavu
