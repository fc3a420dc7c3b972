// What is recorded of one layer while the model runs over a text: the rows that its predictor is trained on.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_LAYERROWS_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_LAYERROWS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "ir/base/DType.h"

namespace dejavu {

/// For each row, which is a token, what a predictor reads and what the MLP reads. The neurons follow from the latter
/// and the weights, so they need not be kept.
struct LayerRows {
  int64_t width = 0;
  std::vector<uint16_t> predictor_inputs;  ///< f16<rows, width>
  std::vector<uint16_t> mlp_inputs;        ///< f16<rows, width>

  [[nodiscard]] int64_t rows() const { return static_cast<int64_t>(mlp_inputs.size()) / width; }
};

/// Writes rows `begin` to `begin` + `count` of `matrix`, f16<rows, width>, to `to`, f32<count, width>.
inline void LoadRows(const std::vector<uint16_t>& matrix, int64_t width, int64_t begin, int64_t count, float* to) {
  const uint16_t* from = matrix.data() + begin * width;
  for (int64_t i = 0; i < count * width; ++i) {
    to[i] = HalfToFloat(from[i]);
  }
}

/// The MLP whose neurons are predicted, in f32. The spans are the caller's.
struct MlpWeights {
  int64_t neurons = 0;
  std::span<const float> fc1;    ///< (neurons, width)
  std::span<const float> bias;   ///< (neurons)
  std::span<const float> norms;  ///< (neurons): of the columns of fc2, how much of a neuron reaches the result
};

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_LAYERROWS_H_
