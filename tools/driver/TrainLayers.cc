#include "tools/driver/TrainLayers.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "ir/base/PredictorRows.h"
#include "ir/import/WeightTransforms.h"
#include "passes/sparsity/training/LowRankTrainer.h"
#include "passes/sparsity/training/Thresholds.h"
#include "tools/driver/RecordRows.h"

namespace dejavu {
namespace {

// For which ranks are chosen: what costs some tenths of a percent of perplexity.
constexpr double kReferenceMass = 0.98;
constexpr int64_t kMeasured = 8192;  // rows that tell how sure guesses are

/// From a 24th of the width to two thirds of it, in multiples of what kernels read fastest: of 4 bits, rows that can be
/// packed.
std::set<int64_t> Ranks(int64_t width, int64_t bits) {
  const int64_t step = bits == 4 ? kPackedColumns : 16;
  std::set<int64_t> ranks;
  for (const int64_t share : {2, 4, 6, 8, 12, 16, 24, 32}) {  // of 48
    ranks.insert(std::max(step, (width * share / 48 + step / 2) / step * step));
  }
  while (*ranks.rbegin() > width) {
    ranks.erase(std::prev(ranks.end()));
  }
  return ranks.empty() ? std::set<int64_t>{width} : ranks;
}

/// Bytes that a token reads of a layer's MLP, predictor included: its matrices, rows of fc1 for what is chosen and of
/// fc2 for what is active.
double BytesRead(const LowRankPredictor& predictor, int64_t bits, const LayerMlp& mlp, double kept, double density) {
  const int64_t matrices = PredictorMatrixBytes(bits, predictor.rank, predictor.width) +
                           PredictorMatrixBytes(bits, predictor.outputs, predictor.rank);
  return static_cast<double>(matrices) + (kept + density) / 2 * static_cast<double>(mlp.stored_bytes);
}

absl::StatusOr<int64_t> ChooseRank(const LowRankTrainer& trainer, const LayerRows& rows, const LayerMlp& mlp,
                                   double density, const TrainLayerOptions& options) {
  int64_t best = 0;
  double least = 0;
  const std::vector<double> masses = {kReferenceMass};
  for (const int64_t rank : Ranks(rows.width, options.bits)) {
    RETURN_IF_ERROR(LayerInterrupted());
    // A part of the rows tells them apart.
    const int64_t some = std::max<int64_t>(1, options.held_out / 4);
    ASSIGN_OR_RETURN(const LowRankPredictor trained, trainer.Train(rank, some));
    ASSIGN_OR_RETURN(const LowRankPredictor predictor, AsDeployed(trained, options.bits));
    ASSIGN_OR_RETURN(const std::vector<OperatingPoint> points,
                     FindThresholds(predictor, rows, some, mlp.weights(), masses, options.threads));
    const double bytes = BytesRead(predictor, options.bits, mlp, points[0].kept, density);
    if (best == 0 || bytes < least) {
      best = rank;
      least = bytes;
    }
  }
  return best;
}

/// fc1's bias, less what a neuron of the norm must receive to be above the threshold.
std::vector<float> OracleBias(const LayerMlp& mlp, double threshold) {
  std::vector<float> bias = mlp.bias;
  for (size_t i = 0; i < bias.size(); ++i) {
    bias[i] -= static_cast<float>(std::min(threshold / std::max<double>(mlp.norms[i], 1e-30), 1e30));
  }
  return bias;
}

/// `best` has thresholds for the same masses as `points`.
absl::Status WriteTensors(const LowRankPredictor& predictor, const std::vector<OperatingPoint>& points,
                          const LayerMlp& mlp, const std::vector<OperatingPoint>& best, int64_t layer,
                          const std::string& path) {
  const std::string prefix = PredictorPrefix(layer, "mlp");
  std::vector<TensorSpec> specs = {{prefix + "down", DType::kF16, {predictor.rank, predictor.width}},
                                   {prefix + "down_bias", DType::kF32, {predictor.rank}},
                                   {prefix + "up", DType::kF16, {predictor.outputs, predictor.rank}}};
  for (const OperatingPoint& point : points) {
    specs.push_back({absl::StrCat(prefix, "bias.", MassText(point.mass)), DType::kF32, {predictor.outputs}});
  }
  for (const OperatingPoint& point : best) {
    specs.push_back({absl::StrCat(prefix, "oracle.", MassText(point.mass)), DType::kF32, {predictor.outputs}});
  }
  const std::string partial = path + ".partial";
  ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::Create(partial, std::move(specs)));
  const std::vector<uint16_t> down = FloatsToHalves(predictor.down);
  const std::vector<uint16_t> up = FloatsToHalves(predictor.up);
  RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(down))));
  RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(predictor.down_bias))));
  RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(up))));
  for (const OperatingPoint& point : points) {
    std::vector<float> bias = predictor.up_bias;
    std::for_each(bias.begin(), bias.end(), [&](float& value) { value -= point.threshold; });
    RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(bias))));
  }
  for (const OperatingPoint& point : best) {
    const std::vector<float> bias = OracleBias(mlp, point.threshold);
    RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(bias))));
  }
  RETURN_IF_ERROR(writer.Finish().status());
  std::error_code error;
  std::filesystem::rename(partial, path, error);
  return error ? UserError(path, ": cannot be written: ", error.message()) : absl::OkStatus();
}

ProfilePredictor ToProfile(int64_t rank, const std::vector<OperatingPoint>& points) {
  ProfilePredictor predictor{.rank = rank, .points = {}};
  for (const OperatingPoint& point : points) {
    predictor.points.push_back({point.mass, point.threshold, point.kept, point.recall});
  }
  return predictor;
}

}  // namespace

absl::StatusOr<std::vector<const Operation*>> FindMlps(const Module& module) {
  const Function* function = module.FindFunction("prefill");
  std::vector<const Operation*> mlps;
  if (function != nullptr) {
    for (const auto& op : function->ops()) {
      if (op->Is("model.mlp")) {
        mlps.push_back(op.get());
      }
    }
  }
  if (mlps.empty()) {
    return BugError("the model has no MLP at [model]");
  }
  return mlps;
}

absl::StatusOr<LayerMlp> ReadMlp(const Operation& mlp, WeightStore& store) {
  LayerMlp result;
  const Type& fc1 = mlp.operand("fc1")->type();
  result.neurons = fc1.shape[0].size();
  result.stored_bytes = 2 * fc1.NumElements() * static_cast<int64_t>(DTypeSize(fc1.dtype));
  ASSIGN_OR_RETURN(result.fc1, ReadFloats(*mlp.operand("fc1")->weight(), store));
  result.bias.resize(static_cast<size_t>(result.neurons));
  if (mlp.operand("fc1_bias") != nullptr) {
    ASSIGN_OR_RETURN(result.bias, ReadFloats(*mlp.operand("fc1_bias")->weight(), store));
  }
  ASSIGN_OR_RETURN(const std::vector<float> fc2,
                   ReadFloats(*mlp.operand("fc2")->weight(), store));  // (hidden, neurons)
  std::vector<double> squares(static_cast<size_t>(result.neurons));
  for (size_t i = 0; i < fc2.size(); ++i) {
    squares[i % squares.size()] += static_cast<double>(fc2[i]) * fc2[i];
  }
  for (const double square : squares) {
    result.norms.push_back(static_cast<float>(std::sqrt(square)));
  }
  return result;
}

absl::StatusOr<ProfileLayer> TrainLayer(const LayerRows& rows, const LayerMlp& mlp, int64_t layer,
                                        const TrainLayerOptions& options, const std::string& path) {
  const MlpWeights weights = mlp.weights();
  const LayerActivity activity = MeasureActivity(rows, options.held_out, weights, kMasses, options.threads);
  ProfileLayer result;
  result.density = activity.density;
  result.mass_curve = activity.mass_curve;
  if (activity.density == 0) {
    return result;  // no mass to keep; the layer stays dense
  }
  const int64_t most = options.rank > 0 ? options.rank : *Ranks(rows.width, options.bits).rbegin();
  ASSIGN_OR_RETURN(
      const LowRankTrainer trainer,
      LowRankTrainer::Create(rows, options.held_out, weights, {most, options.bits, options.threads}, LayerInterrupted));
  int64_t rank = std::min(options.rank, rows.width);
  if (rank == 0) {
    ASSIGN_OR_RETURN(rank, ChooseRank(trainer, rows, mlp, activity.density, options));
  }
  ASSIGN_OR_RETURN(const LowRankPredictor predictor, trainer.Train(rank, kMeasured));
  ASSIGN_OR_RETURN(const LowRankPredictor deployed, AsDeployed(predictor, options.bits));
  ASSIGN_OR_RETURN(const std::vector<OperatingPoint> points,
                   FindThresholds(deployed, rows, options.held_out, weights, kMasses, options.threads));
  RETURN_IF_ERROR(WriteTensors(predictor, points, mlp, activity.best, layer, path));
  result.mlp = ToProfile(rank, points);
  result.oracle = ToProfile(rows.width, activity.best);
  return result;
}

}  // namespace dejavu
