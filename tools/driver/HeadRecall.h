// What each head of a dense model adds to the residual stream, and how much of that a list of heads has.
#ifndef DEJAVU_TOOLS_DRIVER_HEADRECALL_H_
#define DEJAVU_TOOLS_DRIVER_HEADRECALL_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/engine/Model.h"

namespace dejavu {

/// The heads of one layer for one token.
struct LayerHeads {
  bool listed = false;            ///< Whether the layer has a list; otherwise all heads are computed.
  std::span<const int32_t> list;  ///< Their numbers, ascending.
  std::span<const float> values;  ///< f32<hidden>, what the output layer reads; anything for heads not listed. Empty
                                  ///< where the plan doesn't say.
};

/// Of heads, |c|^2: c is a head's part of the result of its output layer W, W_h y_h, where y_h is what the head puts
/// out. It is computed as y_h (W_h^T W_h) y_h. Immutable; any number of threads may use it.
class HeadEnergies {
 public:
  /// Reads the output layers of `model`, which must outlive this only until it is created. A layer whose matrix isn't
  /// found, as those of synthetic artifacts, gets |y_h|^2 instead. `other`: whose heads will be asked for; a layer that
  /// lists none has them all, whatever their energies are, so its matrix isn't read. Null: all layers' are.
  /// Uses `threads` of the CPU, and ends with InterruptStatus() between layers.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<const HeadEnergies>> Create(const Model& model,
                                                                                  const Model* other, int threads);

  /// Of all heads of a layer; 0 for those that are not computed. `heads.values` must be there.
  [[nodiscard]] std::vector<double> Of(size_t layer, const LayerHeads& heads) const;

 private:
  HeadEnergies(int64_t heads, int64_t width) : heads_(heads), width_(width) {}

  int64_t heads_;
  int64_t width_;                          // of a head
  std::vector<std::vector<float>> grams_;  // by layer: (heads, width, width), or empty
};

/// Sums over tokens for one layer.
struct HeadCounts {
  double energy = 0;  ///< Of the reference's heads.
  double found = 0;   ///< Of those of them that the model computed.

  void Add(const LayerHeads& model, std::span<const double> reference);
  /// Adds the tokens of `other`.
  void Add(const HeadCounts& other);
  [[nodiscard]] double Recall() const { return energy > 0 ? found / energy : 1; }
};

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_HEADRECALL_H_
