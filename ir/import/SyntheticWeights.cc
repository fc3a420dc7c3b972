#include "ir/import/SyntheticWeights.h"

#include <array>
#include <charconv>
#include <cmath>
#include <numeric>

#include "ir/base/Hash.h"
#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"
#include "ir/import/CopyTransforms.h"

namespace dejavu {
namespace {

constexpr int64_t kVocab = 50272;
constexpr int64_t kPositions = 2048;
constexpr int64_t kPositionRows = kPositions + 2;
constexpr float kStep = 0x1p-12F;  // a deviation of 0.018; OPT's weights start with 0.006 to 0.02
/// Of a normal distribution, 5% lies this many deviations above the mean.
constexpr double kFivePercent = 1.6449;
/// And next to nothing so many below it.
constexpr double kAlways = 6;
constexpr std::string_view kFc1Bias = ".fc1.bias";
/// The bias of a chosen neuron or head: no score comes near it.
constexpr float kLargeBias = 0x1p60F;
constexpr double kGoldenRatio = 0.6180339887498949;

struct NamedShape {
  std::string_view name;
  int64_t hidden;
  int64_t layers;
  int64_t heads;
};

constexpr std::array kShapes = std::to_array<NamedShape>({
    {"opt-125m", 768, 12, 12},
    {"opt-350m", 1024, 24, 16},
    {"opt-1.3b", 2048, 24, 32},
    {"opt-2.7b", 2560, 32, 32},
    {"opt-6.7b", 4096, 32, 32},
    {"opt-13b", 5120, 40, 40},
    {"opt-30b", 7168, 48, 56},
    {"opt-66b", 9216, 64, 72},
    {"opt-175b", 12288, 96, 96},
});

absl::Status UnknownShape(std::string_view shape) {
  std::string names;
  for (const NamedShape& known : kShapes) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(known.name));
  }
  return UsageError("--synthetic: '", std::string(shape), "' is not NAME or NAME:layers=N with a name of ", names,
                    " and no more layers than it has");
}

SyntheticFill Pattern(float value) { return {.pattern = {value}}; }

/// Of a row of fc1 times an input of deviation 1.
double NeuronDeviation(const OptConfig& config) {
  return kSyntheticGridDeviation * kStep * std::sqrt(static_cast<double>(config.hidden));
}

/// The fill of a tensor of the checkpoint.
SyntheticFill TensorFill(const OptConfig& config, std::string_view name) {
  if (name.ends_with("layer_norm.weight")) {
    return Pattern(1);
  }
  if (name.ends_with(kFc1Bias)) {
    return Pattern(static_cast<float>(-kFivePercent * NeuronDeviation(config)));
  }
  if (name.ends_with(".bias")) {
    return Pattern(0);
  }
  return {.step = kStep, .seeds = {Hash64(name)}};
}

/// Scales that give a sum over `width` integers of a grid, times an input of deviation 1, the deviation 1.
SyntheticFill PredictorScales(int64_t width) {
  return Pattern(static_cast<float>(1 / (kSyntheticGridDeviation * std::sqrt(static_cast<double>(width)))));
}

/// The step of a grid of f16 that does nearly the same, as near as a power of two can.
float PredictorStep(int64_t width) {
  return static_cast<float>(
      std::exp2(std::round(-std::log2(kSyntheticGridDeviation * std::sqrt(static_cast<double>(width))))));
}

/// Of scores, whose inputs have the deviation 1.
double ScoreDeviation(const OptConfig& config, const SyntheticPredictors& predictors) {
  if (predictors.bits != 16) {
    return 1;
  }
  const auto stage = [](int64_t width) {
    return PredictorStep(width) * kSyntheticGridDeviation * std::sqrt(static_cast<double>(width));
  };
  return stage(config.hidden) * stage(predictors.rank);
}

/// How many deviations above the mean the share `share` of a normal distribution begins.
double UpperQuantile(double share) {
  double low = -40;
  double high = 40;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(middle / std::sqrt(2.0)) / 2 > share ? low : high) = middle;
  }
  return low;
}

SyntheticFill PredictorFill(const OptConfig& config, const SyntheticPredictors& predictors, std::string_view name) {
  if (name.ends_with(".down_scales")) {
    return PredictorScales(config.hidden);
  }
  if (name.ends_with(".up_scales")) {
    return PredictorScales(predictors.rank);
  }
  if (name.ends_with(kFc1Bias)) {
    // Predictors are right: all that they choose is active, so their rows of fc2 are read too.
    return Pattern(static_cast<float>(kAlways * NeuronDeviation(config)));
  }
  if (!name.ends_with(".bias")) {
    const int64_t width = name.ends_with(".down") ? config.hidden : predictors.rank;
    return {.step = predictors.bits == 16 ? PredictorStep(width) : 1, .seeds = {Hash64(name)}};
  }
  const bool neurons = name.find(".mlp.") != std::string_view::npos;
  const int64_t count = neurons ? config.ffn : config.heads;
  const int64_t chosen = neurons ? predictors.neurons : predictors.heads;
  if (predictors.by_score) {
    const double quantile = UpperQuantile(static_cast<double>(chosen) / static_cast<double>(count));
    return Pattern(static_cast<float>(-quantile * ScoreDeviation(config, predictors)));
  }
  int64_t multiplier = std::max<int64_t>(1, std::llround(kGoldenRatio * static_cast<double>(count)));
  while (std::gcd(multiplier, count) != 1) {
    ++multiplier;
  }
  return {.pattern = {kLargeBias, -kLargeBias},
          .multiplier = multiplier,
          .offset = static_cast<int64_t>(Hash64(name) % static_cast<uint64_t>(count)),
          .chosen = chosen};
}

/// What a file's name says.
struct SyntheticFile {
  OptConfig config;
  SyntheticPredictors predictors;
};

/// Takes ":key=NUMBER" off the end of `text`.
bool TakeNumber(std::string_view key, std::string_view& text, int64_t& number) {
  const size_t at = text.rfind(key);
  if (at == std::string_view::npos) {
    return false;
  }
  const std::string_view digits = text.substr(at + key.size());
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  text = text.substr(0, at);
  return error == std::errc() && stop == digits.data() + digits.size();
}

absl::StatusOr<SyntheticFile> ParseSyntheticFile(std::string_view file) {
  SyntheticFile parsed;
  std::string_view shape = file.substr(kSyntheticPrefix.size());
  SyntheticPredictors& predictors = parsed.predictors;
  if (constexpr std::string_view kByScore = ":by_score=1"; shape.ends_with(kByScore)) {
    predictors.by_score = true;
    shape.remove_suffix(kByScore.size());
  }
  for (const int64_t bits : {4, 16}) {
    if (const std::string suffix = absl::StrCat(":bits=", bits); shape.ends_with(suffix)) {
      predictors.bits = bits;
      shape.remove_suffix(suffix.size());
    }
  }
  const bool has_predictors = shape.find(":rank=") != std::string_view::npos;
  const bool named =
      !has_predictors ||
      (TakeNumber(":heads=", shape, predictors.heads) && TakeNumber(":neurons=", shape, predictors.neurons) &&
       TakeNumber(":rank=", shape, predictors.rank) && predictors.rank >= 1 && predictors.rank <= kVocab);
  if (!named) {
    return UserError("'", std::string(file), "' is not the name of a synthetic model's predictors");
  }
  ASSIGN_OR_RETURN(parsed.config, SyntheticConfig(shape));
  if (predictors.neurons < 0 || predictors.neurons > parsed.config.ffn || predictors.heads < 0 ||
      predictors.heads > parsed.config.heads) {
    return UserError("'", std::string(file), "' chooses more neurons or heads than there are");
  }
  return parsed;
}

std::optional<Type> TensorType(const SyntheticFile& file, std::string_view name) {
  if (file.predictors.rank > 0) {
    return SyntheticPredictorType(file.config, file.predictors, name);
  }
  Shape shape = SyntheticTensorShape(file.config, name);
  return shape.empty() ? std::nullopt : std::optional<Type>(Type{DType::kF16, std::move(shape)});
}

SyntheticFill FillOfTensor(const SyntheticFile& file, std::string_view name) {
  return file.predictors.rank > 0 ? PredictorFill(file.config, file.predictors, name) : TensorFill(file.config, name);
}

class SyntheticSource : public TensorSource {
 public:
  explicit SyntheticSource(const SyntheticFile& file) : file_(file) {}

  absl::StatusOr<WeightData> Read(std::string_view tensor) const override {
    const std::optional<Type> type = TensorType(file_, tensor);
    if (!type) {
      return UserError("a synthetic model of this shape has no tensor '", std::string(tensor), "'");
    }
    WeightData data;
    data.dtype = type->dtype;
    for (const Dim& dim : type->shape) {
      data.dims.push_back(dim.size());
    }
    const int64_t columns = data.dims.size() == 1 ? 1 : data.dims[1];
    data.bytes = static_cast<size_t>(data.dims[0] * columns) * DTypeSize(data.dtype);
    auto bytes = std::make_shared<std::vector<std::byte>>(data.bytes);
    FillSynthetic(FillOfTensor(file_, tensor), data.dtype, data.dims[0], columns, 0, data.dims[0], bytes->data());
    data.data = bytes->data();
    data.owner = std::move(bytes);
    return data;
  }

 private:
  SyntheticFile file_;
};

/// Bounds for every row of a grid of `width` columns, as quantized_rows states them: the residual that rounding to
/// int8 would leave in a matrix that is not a grid, and the norm.
SyntheticFill RowBounds(const SyntheticFill& grid, int64_t width, float bias) {
  const double root = std::sqrt(static_cast<double>(width));
  return {.pattern = {grid.step, static_cast<float>(grid.step * root / std::sqrt(12.0)),
                      static_cast<float>(127 * grid.step * root * (1 + 1e-6)), bias}};
}

/// A part of a copy of a grid. Elements that are equal in a copy are spread evenly over its steps.
absl::StatusOr<SyntheticFill> CopyFill(const CopyTransform& how, SyntheticFill grid, const Weight& weight) {
  if (how.part == CopyPart::kScales) {
    return Pattern(1);
  }
  const int64_t columns = weight.sources[0]->type.shape[1].size();
  if (how.part == CopyPart::kCopy) {
    grid.step = 1;
    grid.copy_bits = how.bits;
    grid.copy_columns = columns;
    return grid;
  }
  double squares = 0;
  for (const size_t source : {2, 3}) {
    ASSIGN_OR_RETURN(const SyntheticFill of_norm, FillOf(*weight.sources[source]));
    squares += static_cast<double>(of_norm.pattern[0]) * static_cast<double>(of_norm.pattern[0]);
  }
  ASSIGN_OR_RETURN(const SyntheticFill bias, FillOf(*weight.sources[1]));
  const float half_step = grid.step * std::exp2(static_cast<float>(7 - how.bits));
  const double deviation = 2 * half_step * std::sqrt(squares * static_cast<double>(columns) / 12);
  return SyntheticFill{
      .pattern = {half_step, RoundTo(weight.sources[1]->type.dtype, bias.pattern[0]), static_cast<float>(deviation)}};
}

}  // namespace

absl::StatusOr<OptConfig> SyntheticConfig(std::string_view shape) {
  constexpr std::string_view kLayers = ":layers=";
  const size_t colon = shape.find(':');
  for (const NamedShape& known : kShapes) {
    if (shape.substr(0, colon) != known.name) {
      continue;
    }
    OptConfig config;
    config.hidden = known.hidden;
    config.layers = known.layers;
    config.heads = known.heads;
    config.ffn = 4 * known.hidden;
    config.vocab = kVocab;
    config.positions = kPositions;
    config.embedding = known.hidden;
    if (known.name == "opt-350m") {  // the one whose norms follow its blocks
      config.embedding = 512;
      config.norm_first = false;
      config.final_norm = false;
    }
    if (colon != std::string_view::npos) {
      const std::string_view option = shape.substr(colon);
      const char* end = option.data() + option.size();
      const char* digits = option.data() + std::min(kLayers.size(), option.size());
      const auto [stop, error] = std::from_chars(digits, end, config.layers);
      if (!option.starts_with(kLayers) || error != std::errc() || stop != end || config.layers < 1 ||
          config.layers > known.layers) {
        return UnknownShape(shape);
      }
    }
    return config;
  }
  return UnknownShape(shape);
}

Shape SyntheticTensorShape(const OptConfig& config, std::string_view name) {
  const int64_t h = config.hidden;
  if (name.starts_with("layers.")) {
    const size_t dot = name.find('.', 7);
    const std::string_view part = dot == std::string_view::npos ? "" : name.substr(dot + 1);
    const bool vector = part.ends_with(".bias") || part.find("layer_norm") != std::string_view::npos;
    const int64_t rows = part.starts_with("fc1.") ? config.ffn : h;
    return vector ? Shape{rows} : Shape{rows, part.starts_with("fc2.") ? config.ffn : h};
  }
  const bool projected = config.is_projected();
  if (name == "embed_tokens.weight") {
    return {kVocab, config.embedding};
  }
  if (name == "embed_positions.weight") {
    return {kPositionRows, h};
  }
  if (name == "final_layer_norm.weight" || name == "final_layer_norm.bias") {
    return config.final_norm ? Shape{h} : Shape{};
  }
  if (name == "project_in.weight" && projected) {
    return {h, config.embedding};
  }
  return name == "project_out.weight" && projected ? Shape{config.embedding, h} : Shape{};
}

std::string SyntheticPredictorFile(std::string_view file, const SyntheticPredictors& predictors) {
  return absl::StrCat(std::string(file), ":rank=", predictors.rank, ":neurons=", predictors.neurons,
                      ":heads=", predictors.heads, predictors.bits == 8 ? "" : absl::StrCat(":bits=", predictors.bits),
                      predictors.by_score ? ":by_score=1" : "");
}

std::optional<Type> SyntheticPredictorType(const OptConfig& config, const SyntheticPredictors& predictors,
                                           std::string_view name) {
  constexpr std::string_view kPart = ".predictor.";
  if (name.ends_with(kFc1Bias)) {
    return Type{DType::kF16, SyntheticTensorShape(config, name)};
  }
  const size_t part = name.find(kPart);
  if (part == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view owner = name.substr(0, part);
  const int64_t count = owner.ends_with(".mlp") ? config.ffn : owner.ends_with(".heads") ? config.heads : 0;
  struct Tensor {
    std::string_view name;
    Type type;
  };
  const int64_t rank = predictors.rank;
  const auto matrix = [&](int64_t rows, int64_t columns) {
    const int64_t bits = PredictorBitsFor(predictors.bits, columns);
    return bits == 16 ? Type{DType::kF16, {rows, columns}} : Type{DType::kI8, {rows, PredictorRowBytes(bits, columns)}};
  };
  const std::array<Tensor, 5> tensors = {{{"down", matrix(rank, config.hidden)},
                                          {"down_scales", {DType::kF32, {rank}}},
                                          {"up", matrix(count, rank)},
                                          {"up_scales", {DType::kF32, {count}}},
                                          {"bias", {DType::kF32, {count}}}}};
  for (const Tensor& tensor : tensors) {
    if (count > 0 && name.substr(part + kPart.size()) == tensor.name) {
      return tensor.type;
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::shared_ptr<TensorSource>> OpenSyntheticSource(std::string_view file) {
  ASSIGN_OR_RETURN(const SyntheticFile parsed, ParseSyntheticFile(file));
  return std::make_shared<SyntheticSource>(parsed);
}

bool IsSynthetic(const Module& module) {
  for (const auto& weight : module.weights()) {
    if (!weight->is_derived()) {
      return std::string_view(weight->file).starts_with(kSyntheticPrefix);
    }
  }
  return false;
}

absl::StatusOr<SyntheticFill> FillOf(const Weight& weight) {
  if (!weight.is_derived()) {
    ASSIGN_OR_RETURN(const SyntheticFile file, ParseSyntheticFile(weight.file));
    return FillOfTensor(file, weight.tensor);
  }
  const Weight& source = *weight.sources[0];
  ASSIGN_OR_RETURN(SyntheticFill fill, FillOf(source));
  const bool grid = fill.pattern.empty();
  if (weight.transform == "zeros") {
    return Pattern(0);
  }
  if (weight.transform == "widen" && !grid) {
    return Pattern(RoundTo(source.type.dtype, fill.pattern[0]));
  }
  if (weight.transform == "transpose" && grid) {
    fill.transposed = !fill.transposed;
    return fill;
  }
  if (weight.transform == "quantize" && grid && !fill.transposed) {
    fill.step = 1;
    return fill;
  }
  if (weight.transform == "quantized_rows" && grid && !fill.transposed) {
    ASSIGN_OR_RETURN(const SyntheticFill bias, FillOf(*weight.sources[1]));
    return RowBounds(fill, source.type.shape[1].size(), RoundTo(weight.sources[1]->type.dtype, bias.pattern[0]));
  }
  const CopyTransform* copy = FindCopyTransform(weight.transform);
  if (copy != nullptr && grid && !fill.transposed) {
    return CopyFill(*copy, std::move(fill), weight);
  }
  if (weight.transform == "concat") {
    for (size_t i = 1; i < weight.sources.size(); ++i) {
      ASSIGN_OR_RETURN(const SyntheticFill other, FillOf(*weight.sources[i]));
      fill.seeds.insert(fill.seeds.end(), other.seeds.begin(), other.seeds.end());
    }
    return fill;
  }
  return BugError("weight '", weight.name, "': nothing fills a synthetic '", weight.transform, "'");
}

}  // namespace dejavu
