// What the tokens of a window of text say about a model, and what all windows say together.
#ifndef DEJAVU_TOOLS_DRIVER_WINDOWSCORES_H_
#define DEJAVU_TOOLS_DRIVER_WINDOWSCORES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "tools/driver/Evaluate.h"
#include "tools/driver/Recall.h"

namespace dejavu {

/// Sums over the tokens of one window. Windows are added up in their order, so that nothing depends on which came
/// first.
struct WindowScores {
  int64_t tokens = 0;
  double nll = 0;                          ///< Of the targets, in nats, summed up.
  double reference_nll = 0;                ///< Of the reference's; 0 without one, as all below.
  double difference = 0;                   ///< The tokens' differences of the two, summed up.
  int64_t agreements = 0;                  ///< Tokens for which both have the same likeliest one.
  std::vector<double> divergences = {};    ///< By token.
  std::vector<RecallCounts> neurons = {};  ///< By layer.
  std::vector<HeadCounts> heads = {};      ///< By layer.

  /// Adds one target, given the logits of the model and, unless they are empty, of the reference. Returns its negative
  /// log-likelihood.
  double Add(std::span<const float> logits, std::span<const float> reference, int32_t target);
};

/// The mean over all tokens of all windows.
[[nodiscard]] double MeanNll(std::span<const WindowScores> windows);

/// What the logits say about the difference of model and reference; the rest is left empty.
[[nodiscard]] Comparison CompareLogits(std::span<const WindowScores> windows);

/// By layer, over all windows.
[[nodiscard]] std::vector<RecallCounts> AddNeurons(std::span<const WindowScores> windows);
[[nodiscard]] std::vector<HeadCounts> AddHeads(std::span<const WindowScores> windows);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_WINDOWSCORES_H_
