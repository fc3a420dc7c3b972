// From the rows of a layer to its part of a profile.
#ifndef DEJAVU_TOOLS_DRIVER_TRAINLAYERS_H_
#define DEJAVU_TOOLS_DRIVER_TRAINLAYERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ir/base/Safetensors.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"
#include "passes/sparsity/Profile.h"
#include "passes/sparsity/training/LayerRows.h"

namespace dejavu {

/// The thresholds that a profile has.
inline constexpr double kMasses[] = {0.9, 0.95, 0.98, 0.99, 0.995, 0.997, 0.998, 0.999, 0.9995, 0.9999};

/// The MLP of layer `layer` of a module at [model], as f32.
struct LayerMlp {
  std::vector<float> fc1;
  std::vector<float> bias;
  std::vector<float> norms;
  int64_t neurons = 0;
  int64_t stored_bytes = 0;  ///< Of fc1 and fc2 in the model.

  [[nodiscard]] MlpWeights weights() const { return {neurons, fc1, bias, norms}; }
};
[[nodiscard]] absl::StatusOr<std::vector<const Operation*>> FindMlps(const Module& module);
[[nodiscard]] absl::StatusOr<LayerMlp> ReadMlp(const Operation& mlp, WeightStore& store);

struct TrainLayerOptions {
  int64_t held_out = 0;
  int64_t rank = 0;  ///< 0: the one that makes a token read least while 98 % of the mass is kept.
  int64_t bits = 4;  ///< Of the matrices that are deployed: 4, 8 or 16.
  int threads = 1;
};

/// Trains the predictor of one layer and writes its tensors to `path`, a safetensors file, all or nothing.
[[nodiscard]] absl::StatusOr<ProfileLayer> TrainLayer(const LayerRows& rows, const LayerMlp& mlp, int64_t layer,
                                                      const TrainLayerOptions& options, const std::string& path);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_TRAINLAYERS_H_
