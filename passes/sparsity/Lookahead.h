// Which vectors predictors read: the one definition for recording, training and deployment.
//
// With a lookahead of N, the neurons of layer L are predicted from the input of the attention of layer L - (N - 1), the
// heads from that of layer L - N. Nothing comes before layer 0: where that would be a layer below 0, it is layer 0,
// whose own heads stay dense. With 0, both are predicted from what their own block reads: the MLP's input, the
// attention's input.
#ifndef DEJAVU_PASSES_SPARSITY_LOOKAHEAD_H_
#define DEJAVU_PASSES_SPARSITY_LOOKAHEAD_H_

#include <algorithm>
#include <cstdint>
#include <optional>

namespace dejavu {

/// More than the layers of any OPT: all predictors read what layer 0 does.
inline constexpr int64_t kMaxLookahead = 128;

/// The layer whose attention's input predicts the neurons of `layer`; nothing if the MLP's own input does.
[[nodiscard]] constexpr std::optional<int64_t> NeuronsFrom(int64_t layer, int64_t lookahead) {
  return lookahead == 0 ? std::nullopt : std::optional(std::max<int64_t>(0, layer - (lookahead - 1)));
}

/// The layer whose attention's input predicts the heads of `layer`; nothing if they stay dense.
[[nodiscard]] constexpr std::optional<int64_t> HeadsFrom(int64_t layer, int64_t lookahead) {
  return lookahead > 0 && layer == 0 ? std::nullopt : std::optional(std::max<int64_t>(0, layer - lookahead));
}

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_LOOKAHEAD_H_
