// TrainedPredictors.cc: puts the predictors of a profile into @decode.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_join.h"
#include "ir/base/Hash.h"
#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"
#include "ir/base/Safetensors.h"
#include "ir/import/WeightTransforms.h"
#include "passes/sparsity/Lookahead.h"
#include "passes/sparsity/LowRankPredictors.h"
#include "passes/sparsity/OraclePredictors.h"
#include "passes/sparsity/Profile.h"

namespace dejavu {
namespace {

class TrainedInserter {
 public:
  TrainedInserter(Module& module, Function& decode, const LowRankOptions& options, PassContext& context)
      : module_(module), decode_(decode), low_rank_(options), options_(*options.trained), context_(context) {}

  absl::Status Run() {
    ASSIGN_OR_RETURN(profile_, ReadProfile(options_.folder));
    ASSIGN_OR_RETURN(const std::vector<Block> blocks, FindBlocks(decode_));
    RETURN_IF_ERROR(CheckModel(blocks.size()));
    RETURN_IF_ERROR(CheckLookahead());
    bits_ = low_rank_.bits.value_or(profile_.matrix_bits);
    file_ = absl::StrCat(options_.folder, "/", kPredictorsFile);
    ASSIGN_OR_RETURN(tensors_, Safetensors::Open(file_));
    RETURN_IF_ERROR(CheckHeads());
    for (size_t i = 0; i < blocks.size(); ++i) {
      const auto layer = static_cast<int64_t>(i);
      const std::optional<double> mass = MassOf(i);
      if (low_rank_.oracle) {
        RETURN_IF_ERROR(InsertOracleOf(blocks[i], layer, mass));
        continue;
      }
      if (mass) {
        const std::optional<int64_t> from = NeuronsFrom(layer, profile_.lookahead);
        RETURN_IF_ERROR(InsertNeurons(blocks[i], from ? *blocks[static_cast<size_t>(*from)].attention : *blocks[i].mlp,
                                      layer, *mass));
      }
      const std::optional<int64_t> from = HeadsFrom(layer, profile_.lookahead);
      if (const std::optional<double> share = ShareOf(i); share && from) {
        RETURN_IF_ERROR(
            InsertHeads(*blocks[i].attention, *blocks[static_cast<size_t>(*from)].attention, layer, *share));
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckModel(size_t layers) {
    const std::string path = absl::StrCat(options_.folder, "/", kProfileFile);
    ASSIGN_OR_RETURN(const std::string hash, HashModel(module_, *context_.weights()));
    if (profile_.layers.size() != layers || profile_.model_hash != hash) {
      return UserError(path, ": is the profile of another model: it was made from weights with the hash ",
                       profile_.model_hash, " and ", profile_.layers.size(), " layers, but this model's have ", hash,
                       " and ", layers, "; run dejavu-profile on this model");
    }
    return absl::OkStatus();
  }

  /// Predictors read what they were trained on.
  absl::Status CheckLookahead() const {
    if (low_rank_.lookahead.value_or(profile_.lookahead) != profile_.lookahead) {
      return UsageError("insert-predictors: option 'lookahead' is ", *low_rank_.lookahead, ", but the predictors in ",
                        options_.folder, " were trained with ", profile_.lookahead,
                        "; leave the option out, or profile the model with that lookahead");
    }
    return absl::OkStatus();
  }

  /// Of a layer's neurons; nothing where they stay dense.
  [[nodiscard]] std::optional<double> MassOf(size_t layer) const {
    if (!options_.masses.empty()) {
      return options_.masses[layer];
    }
    return options_.mass < 1 || options_.largest ? std::optional(options_.mass) : std::nullopt;
  }

  /// Of a layer's heads; nothing where all are computed.
  [[nodiscard]] std::optional<double> ShareOf(size_t layer) const {
    return options_.head_shares.empty() ? options_.head_share : options_.head_shares[layer];
  }

  /// Profiles of earlier versions know no heads.
  absl::Status CheckHeads() const {
    const bool known = std::any_of(profile_.layers.begin(), profile_.layers.end(),
                                   [](const ProfileLayer& layer) { return layer.heads.has_value(); });
    if (!options_.head_shares.empty() && options_.head_shares.size() != profile_.layers.size()) {
      return UsageError("insert-predictors: option 'head-plan' must have a word for each of ", profile_.layers.size(),
                        " layers, but has ", options_.head_shares.size());
    }
    return known || !options_.has_heads()
               ? absl::OkStatus()
               : UserError(options_.folder,
                           ": has no predictors of heads; profile the model again with this version's "
                           "dejavu-profile, or leave heads dense");
  }

  absl::StatusOr<const ProfilePoint*> FindPoint(const ProfilePredictor& predictor, double mass,
                                                std::string_view flag) const {
    const auto& points = predictor.points;
    const auto point =
        std::find_if(points.begin(), points.end(), [&](const ProfilePoint& one) { return one.mass == mass; });
    if (point == points.end()) {
      return UsageError(options_.folder, ": has no thresholds for ", std::string(flag), "=", mass, "; it has ",
                        absl::StrJoin(points, ", ", [](std::string* out, const ProfilePoint& one) {
                          out->append(MassText(one.mass));
                        }));
    }
    return &*point;
  }

  /// A list of the neurons that make up `mass` of the activations, of all active ones without it.
  absl::Status InsertOracleOf(const Block& block, int64_t layer, const std::optional<double>& mass) {
    const ProfileLayer& recorded = profile_.layers[static_cast<size_t>(layer)];
    Value* bias = block.mlp->operand("fc1_bias");
    if (mass && !recorded.oracle && recorded.density > 0) {
      return UserError(options_.folder,
                       ": has no thresholds of an oracle; profile the model again with this version's dejavu-profile, "
                       "or leave the profile out for all that is active");
    }
    if (mass && recorded.oracle) {
      ASSIGN_OR_RETURN(const ProfilePoint* point, FindPoint(*recorded.oracle, *mass, "--mass"));
      const int64_t neurons = block.mlp->operand("fc1")->type().shape[0].size();
      ASSIGN_OR_RETURN(
          const Weight* lowered,
          Add(absl::StrCat("layers.", layer, ".mlp.oracle.bias"),
              absl::StrCat(PredictorPrefix(layer, "mlp"), "oracle.", MassText(point->mass)), {DType::kF32, {neurons}}));
      bias = lowered->value;
    }
    return InsertOracle(decode_, *block.mlp, bias, layer, context_);
  }

  /// Before `at`, from its input.
  absl::Status InsertNeurons(const Block& block, const Operation& at, int64_t layer, double mass) {
    const ProfileLayer& recorded = profile_.layers[static_cast<size_t>(layer)];
    if (!recorded.mlp) {
      context_.Count(options_.copy ? "layers left to copies" : "layers left dense");
      return absl::OkStatus();
    }
    // Thresholds are alike for all neurons of a layer: none changes which scores are the largest.
    const ProfilePoint* point = recorded.mlp->points.empty() ? nullptr : &recorded.mlp->points.back();
    if (!options_.largest || point == nullptr) {
      ASSIGN_OR_RETURN(point, FindPoint(*recorded.mlp, mass, "--mass"));
    }
    const Weight* fc1 = block.mlp->operand("fc1")->weight();
    const int64_t neurons = fc1->type.shape[0].size();
    const int64_t width = at.operand("x")->type().shape[1].size();
    const int64_t rank = recorded.mlp->rank;
    // A plan has its reasons.
    if (options_.masses.empty() && !options_.largest && !Saves(*recorded.mlp, *point, recorded.density, *fc1, width)) {
      context_.Count(options_.copy ? "layers left to copies" : "layers left dense");
      return absl::OkStatus();
    }
    const std::string from = PredictorPrefix(layer, "mlp");
    const std::string to = absl::StrCat("layers.", layer, ".mlp.predictor.");
    PredictorWeights weights;
    ASSIGN_OR_RETURN(const Weight* down, Add(to + "down.f16", from + "down", {DType::kF16, {rank, width}}));
    ASSIGN_OR_RETURN(const Weight* up, Add(to + "up.f16", from + "up", {DType::kF16, {neurons, rank}}));
    ASSIGN_OR_RETURN(const Weight* down_bias, Add(to + "down_bias", from + "down_bias", {DType::kF32, {rank}}));
    ASSIGN_OR_RETURN(const Weight* bias,
                     Add(to + "bias", absl::StrCat(from, "bias.", MassText(point->mass)), {DType::kF32, {neurons}}));
    std::tie(weights.down, weights.down_scales) = AddMatrix(to + "down", *down);
    weights.down_bias = down_bias->value;
    std::tie(weights.up, weights.up_scales) = AddMatrix(to + "up", *up);
    weights.up_bias = bias->value;
    const int64_t k = options_.largest ? std::clamp<int64_t>(
                                             std::llround(*options_.largest * static_cast<double>(neurons)), 1, neurons)
                                       : 0;
    RETURN_IF_ERROR(InsertPredictor(decode_, at, weights, layer, "active", k));
    context_.Count("predictors inserted");
    return absl::OkStatus();
  }

  /// The matrix in the bits that the options say, where its rows can be packed, and its scales.
  std::pair<Value*, Value*> AddMatrix(const std::string& name, const Weight& matrix) {
    if (bits_ == 16) {
      return {matrix.value, nullptr};
    }
    const bool packed = PredictorBitsFor(bits_, matrix.type.shape[1].size()) == 4;
    return {AddDerivedWeight(module_, name, packed ? "quantize4" : "quantize", {&matrix})->value,
            AddDerivedWeight(module_, name + "_scales", packed ? "row_scales4" : "row_scales", {&matrix})->value};
  }

  /// Before `at`, from its input, what lists the heads of `attention`, which is layer `layer`'s.
  absl::Status InsertHeads(const Operation& attention, const Operation& at, int64_t layer, double share) {
    const auto& heads = profile_.layers[static_cast<size_t>(layer)].heads;
    if (!heads) {
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const ProfilePoint* point, FindPoint(*heads, share, "--head-share"));
    const int64_t count = attention.operand("cache")->type().shape[1].size();
    const int64_t width = at.operand("x")->type().shape[1].size();
    const Type& q = attention.operand("q")->type();
    // Rows of q and columns of the output layer are read for the chosen heads alone.
    const double matrices = 2 * static_cast<double>(q.NumElements()) * static_cast<double>(DTypeSize(q.dtype));
    const int64_t bits = HeadMatrixBits(bits_);
    // A plan has its reasons.
    if (options_.head_shares.empty() &&
        static_cast<double>(PredictorMatrixBytes(bits, count, width)) >= (1 - point->kept) * matrices) {
      context_.Count("attentions left dense");
      return absl::OkStatus();
    }
    const std::string from = PredictorPrefix(layer, "heads");
    const std::string to = absl::StrCat("layers.", layer, ".heads.predictor.");
    ASSIGN_OR_RETURN(const Weight* weight, Add(to + "weight.f16", from + "weight", {DType::kF16, {count, width}}));
    ASSIGN_OR_RETURN(const Weight* bias,
                     Add(to + "bias", absl::StrCat(from, "bias.", MassText(point->mass)), {DType::kF32, {count}}));
    PredictorWeights weights;
    weights.up = weight->value;
    if (bits == 8) {
      weights.up = AddDerivedWeight(module_, to + "weight", "quantize", {weight})->value;
      weights.up_scales = AddDerivedWeight(module_, to + "scales", "row_scales", {weight})->value;
    }
    weights.up_bias = bias->value;
    RETURN_IF_ERROR(InsertPredictor(decode_, at, weights, layer, "heads", 0));
    context_.Count("predictors inserted");
    return absl::OkStatus();
  }

  /// Whether predictor and chosen rows are fewer bytes than all rows, of a cascade's copy or of fc1 and fc2. Rows of
  /// fc2 are read for active neurons alone.
  [[nodiscard]] bool Saves(const ProfilePredictor& predictor, const ProfilePoint& point, double density,
                           const Weight& fc1, int64_t width) const {
    const auto neurons = static_cast<double>(fc1.type.shape[0].size());
    const double matrix = neurons * static_cast<double>(fc1.type.shape[1].size() * DTypeSize(fc1.type.dtype));
    const auto predicts = static_cast<double>(PredictorMatrixBytes(bits_, predictor.rank, width) +
                                              PredictorMatrixBytes(bits_, fc1.type.shape[0].size(), predictor.rank));
    if (options_.copy) {
      const int64_t columns = fc1.type.shape[1].size();
      const int64_t row = CopyRowBytes(options_.copy->bits, columns) + CopyGroups(columns, options_.copy->group);
      return predicts < (1 - point.kept) * neurons * static_cast<double>(row);
    }
    return predicts + (point.kept + density) * matrix < 2 * matrix;
  }

  absl::StatusOr<const Weight*> Add(const std::string& name, const std::string& tensor, const Type& type) {
    ASSIGN_OR_RETURN(const TensorView* view, tensors_->Get(tensor));
    Weight weight;
    weight.name = name;
    weight.file = file_;
    weight.tensor = tensor;
    weight.type = {view->dtype, Shape(view->dims.begin(), view->dims.end())};
    if (weight.type != type) {
      return UserError(file_, ": tensor '", tensor, "' must be ", type.ToString(), ", but is ", weight.type.ToString());
    }
    weight.hash = HashText(Hash64({view->data, view->bytes}));
    return module_.AddWeight(std::move(weight));
  }

  Module& module_;
  Function& decode_;
  const LowRankOptions& low_rank_;
  const TrainedOptions& options_;
  PassContext& context_;
  int64_t bits_ = 0;
  Profile profile_;
  std::string file_;  // of the predictors
  std::optional<Safetensors> tensors_;
};

}  // namespace

absl::Status InsertTrainedPredictors(Module& module, Function& decode, const LowRankOptions& options,
                                     PassContext& context) {
  return TrainedInserter(module, decode, options, context).Run();
}

}  // namespace dejavu
