// From what is recorded of a layer's heads to their part of a profile.
#ifndef DEJAVU_TOOLS_DRIVER_TRAINHEADS_H_
#define DEJAVU_TOOLS_DRIVER_TRAINHEADS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ir/base/Safetensors.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"
#include "passes/sparsity/Profile.h"
#include "passes/sparsity/training/HeadTrainer.h"

namespace dejavu {

/// The shares of all heads that a profile has thresholds for.
inline constexpr double kHeadShares[] = {0.3,  0.4, 0.5,  0.6,  0.65, 0.7,  0.75, 0.8,
                                         0.85, 0.9, 0.92, 0.95, 0.97, 0.98, 0.99};

/// A layer's trained heads between training and the end of the run: their matrix and a bias without a threshold, in a
/// safetensors file, and the scores that thresholds are found on, which need all layers.
struct HeadFiles {
  std::string tensors;
  std::string scores;
};

struct TrainHeadsOptions {
  int64_t held_out = 0;
  int64_t bits = 8;  ///< Of the matrix that is deployed: 8 or 16.
  int threads = 1;
};

/// Trains the heads of `attention`, an op at [model] of layer `layer`, and writes both files, all or nothing.
/// `sensitivity` has a number for each head.
[[nodiscard]] absl::Status TrainHeadsOfLayer(const HeadRows& rows, const Operation& attention, WeightStore& store,
                                             const std::vector<double>& sensitivity, const TrainHeadsOptions& options,
                                             const HeadFiles& files);

/// What a profile says about the heads of all layers, and their tensors.
struct JoinedHeads {
  std::vector<std::optional<ProfilePredictor>> layers;  ///< Nothing for layers that have no files.
  std::vector<TensorSpec> specs;
  std::vector<std::vector<std::byte>> tensors;  ///< Their bytes.
};
/// Reads the files of all layers, empty names where a layer has none, and finds the thresholds.
[[nodiscard]] absl::StatusOr<JoinedHeads> JoinHeads(const std::vector<HeadFiles>& layers);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_TRAINHEADS_H_
