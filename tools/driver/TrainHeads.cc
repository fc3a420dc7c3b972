#include "tools/driver/TrainHeads.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <span>

#include "ir/base/FileUtil.h"
#include "ir/base/MappedFile.h"
#include "ir/import/WeightTransforms.h"
#include "tools/driver/RecordRows.h"

namespace dejavu {
namespace {

template <typename T>
std::vector<std::byte> BytesOf(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

absl::Status WriteScores(const std::vector<ScoredHead>& scores, const std::string& path) {
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path));
  RETURN_IF_ERROR(file.Write(std::as_bytes(std::span(scores))));
  return file.Finish();
}

absl::StatusOr<std::vector<ScoredHead>> ReadScores(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  std::vector<ScoredHead> scores(file.size() / sizeof(ScoredHead));
  std::memcpy(scores.data(), file.data(), scores.size() * sizeof(ScoredHead));
  return scores;
}

/// The tensors of one layer: the matrix, and for each threshold the bias less it.
absl::Status AddTensors(const std::string& path, int64_t layer, const std::vector<HeadPoint>& points,
                        JoinedHeads* joined) {
  ASSIGN_OR_RETURN(const Safetensors file, Safetensors::Open(path));
  ASSIGN_OR_RETURN(const TensorView* weight, file.Get("weight"));
  ASSIGN_OR_RETURN(const TensorView* bias, file.Get("bias"));
  const std::string prefix = PredictorPrefix(layer, "heads");
  joined->specs.push_back({prefix + "weight", weight->dtype, weight->dims});
  joined->tensors.emplace_back(weight->data, weight->data + weight->bytes);
  for (const HeadPoint& point : points) {
    std::vector<float> values(bias->bytes / sizeof(float));
    std::memcpy(values.data(), bias->data, bias->bytes);
    std::for_each(values.begin(), values.end(), [&](float& value) { value -= point.threshold; });
    joined->specs.push_back({absl::StrCat(prefix, "bias.", MassText(point.share)), bias->dtype, bias->dims});
    joined->tensors.push_back(BytesOf(values));
  }
  ProfilePredictor predictor{.rank = weight->dims[0], .points = {}};
  for (const HeadPoint& point : points) {
    predictor.points.push_back({point.share, point.threshold, point.kept, point.recall});
  }
  joined->layers[static_cast<size_t>(layer)] = std::move(predictor);
  return absl::OkStatus();
}

}  // namespace

absl::Status TrainHeadsOfLayer(const HeadRows& rows, const Operation& attention, WeightStore& store,
                               const std::vector<double>& sensitivity, const TrainHeadsOptions& options,
                               const HeadFiles& files) {
  ASSIGN_OR_RETURN(const std::vector<float> out, ReadFloats(*attention.operand("out")->weight(), store));
  const HeadWeights weights = {static_cast<int64_t>(sensitivity.size()), out, sensitivity};
  ASSIGN_OR_RETURN(const HeadPredictor predictor,
                   TrainHeads(rows, options.held_out, weights, options.threads, LayerInterrupted));
  ASSIGN_OR_RETURN(const HeadPredictor deployed, AsDeployed(predictor, options.bits));
  RETURN_IF_ERROR(WriteScores(ScoreHeads(deployed, rows, options.held_out, weights, options.threads), files.scores));
  const std::string partial = files.tensors + ".partial";
  ASSIGN_OR_RETURN(SafetensorsWriter writer,
                   SafetensorsWriter::Create(partial, {{"weight", DType::kF16, {predictor.heads, predictor.width}},
                                                       {"bias", DType::kF32, {predictor.heads}}}));
  const std::vector<uint16_t> halves = FloatsToHalves(predictor.weight);
  RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(halves))));
  RETURN_IF_ERROR(writer.Append(std::as_bytes(std::span(predictor.bias))));
  RETURN_IF_ERROR(writer.Finish().status());
  std::error_code error;
  std::filesystem::rename(partial, files.tensors, error);
  return error ? UserError(files.tensors, ": cannot be written: ", error.message()) : absl::OkStatus();
}

absl::StatusOr<JoinedHeads> JoinHeads(const std::vector<HeadFiles>& layers) {
  JoinedHeads joined;
  joined.layers.resize(layers.size());
  std::vector<std::vector<ScoredHead>> scores(layers.size());
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    if (!layers[layer].scores.empty()) {
      ASSIGN_OR_RETURN(scores[layer], ReadScores(layers[layer].scores));
    }
  }
  ASSIGN_OR_RETURN(const std::vector<std::vector<HeadPoint>> points, FindHeadThresholds(scores, kHeadShares));
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    if (!layers[layer].tensors.empty()) {
      RETURN_IF_ERROR(AddTensors(layers[layer].tensors, static_cast<int64_t>(layer), points[layer], &joined));
    }
  }
  return joined;
}

}  // namespace dejavu
