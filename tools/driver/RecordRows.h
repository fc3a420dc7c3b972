// Runs a dense model over tokens and writes what predictors are trained on to files.
#ifndef DEJAVU_TOOLS_DRIVER_RECORDROWS_H_
#define DEJAVU_TOOLS_DRIVER_RECORDROWS_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "passes/sparsity/Lookahead.h"
#include "passes/sparsity/training/HeadTrainer.h"
#include "passes/sparsity/training/LayerRows.h"
#include "runtime/engine/Model.h"

namespace dejavu {

/// Where the rows of each layer are: raw f16<rows, width> each, layer-N.mlp, layer-N.attention and layer-N.heads.
struct RecordingFiles {
  std::string folder;
  int64_t lookahead = 1;  ///< Of predictors, as Lookahead.h has it.

  [[nodiscard]] std::string MlpInputs(int64_t layer) const { return absl::StrCat(folder, "/layer-", layer, ".mlp"); }
  [[nodiscard]] std::string AttentionInputs(int64_t layer) const {
    return absl::StrCat(folder, "/layer-", layer, ".attention");
  }
  /// What all heads put out, before the output layer.
  [[nodiscard]] std::string HeadOutputs(int64_t layer) const {
    return absl::StrCat(folder, "/layer-", layer, ".heads");
  }
  [[nodiscard]] std::string PredictorInputs(int64_t layer) const {
    const std::optional<int64_t> from = NeuronsFrom(layer, lookahead);
    return from ? AttentionInputs(*from) : MlpInputs(layer);
  }
};

/// Bytes on disk for `rows` rows of a model, and in memory while a layer is trained.
[[nodiscard]] int64_t RecordingBytes(const ModelInfo& model, int64_t rows);
[[nodiscard]] int64_t LayerBytes(const ModelInfo& model, int64_t rows);

/// InterruptStatus() with what the user may do while rows are recorded and layers trained.
[[nodiscard]] absl::Status LayerInterrupted();

/// Takes each of `windows` through the prefill kernels of `model`, which was compiled with taps, and writes one row for
/// each token and layer. Memory is bounded by one call of prefill. Infinite and NaN inputs are a user error that names
/// layer and token; a full disk and an interrupt are errors too. Files are complete or not there.
[[nodiscard]] absl::Status RecordRows(const std::shared_ptr<const Model>& model, int threads,
                                      const std::vector<std::vector<int32_t>>& windows, const RecordingFiles& files);

/// Tokens that the model chooses itself, at temperature 1, in windows of its positions: `count` in all.
[[nodiscard]] absl::StatusOr<std::vector<std::vector<int32_t>>> SampleWindows(const std::shared_ptr<const Model>& model,
                                                                              int threads, int64_t count);

/// Reads the rows of one layer. A file of another size is a user error.
[[nodiscard]] absl::StatusOr<LayerRows> ReadRows(const RecordingFiles& files, int64_t layer, int64_t width,
                                                 int64_t rows);
/// The same for the heads of layer `layer`, which HeadsFrom() has a layer for.
[[nodiscard]] absl::StatusOr<HeadRows> ReadHeadRows(const RecordingFiles& files, int64_t layer, int64_t width,
                                                    int64_t rows);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_RECORDROWS_H_
