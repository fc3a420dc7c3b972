// Perplexity of a model, and how far it is from another one.
#ifndef DEJAVU_TOOLS_DRIVER_EVALUATE_H_
#define DEJAVU_TOOLS_DRIVER_EVALUATE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/engine/Model.h"
#include "runtime/text/Tokenizer.h"
#include "tools/driver/Intervals.h"
#include "tools/driver/Layers.h"

namespace dejavu {

/// How a model differs from the reference it was compared with; Kullback-Leibler divergences in nats of the reference's
/// distribution from the model's.
struct Comparison {
  double ppl = 0;  ///< Of the reference.
  /// The model's perplexity over the reference's, from the windows' differences in mean log-likelihood; without ends
  /// where there is one window only.
  double ppl_ratio = 0;
  std::optional<Interval> ppl_ratio_interval;
  double kl_mean = 0;
  std::optional<Interval> kl_interval = std::nullopt;  ///< Of the mean, from the windows' means.
  double kl_p99 = 0;                                   ///< 99 % of the tokens have at most this.
  double top1_agreement = 0;  ///< Share of the tokens for which both have the same likeliest one.
  /// By layer, over all tokens, each model on its own stream of activations: the share of the neurons above 0 in the
  /// reference; the share of these that the model computed, counted and weighted by their values; and their share of
  /// what it computed.
  std::vector<double> mlp_activity = {};
  std::vector<double> mlp_recall = {};
  std::vector<double> mlp_recall_mass = {};
  std::vector<double> mlp_precision = {};
  std::vector<double> mlp_missed = {};  ///< Of the squares of the active neurons' values, the share not computed.
  /// By layer: of the energy of what the reference's heads add to the residual stream (HeadEnergies), the share of
  /// those that the model computed.
  std::vector<double> head_recall = {};
  TokenCosts costs = {};  ///< Of the reference, measured in turns with the model's.
  double bytes_per_token = 0;
};

struct Evaluation {
  double ppl = 0;
  double nll = 0;  ///< Mean negative log-likelihood in nats; ppl is its exponential.
  int64_t tokens = 0;
  int64_t windows = 0;
  std::vector<double> mlp_density;   ///< By layer.
  std::vector<double> head_density;  ///< By layer.
  std::vector<double> mlp_activity;  ///< By layer: the share of its neurons that were computed and are above 0.
  bool timed = true;                 ///< Whether the costs, also those of the reference, have times.
  TokenCosts costs;                  ///< Times are the launches' medians over the first tokens.
  double bytes_per_token = 0;
  double predictor_bytes_per_token = 0;
  std::optional<Comparison> against;
};

struct EvaluateOptions {
  int64_t max_tokens = 0;  ///< Scores the first max_tokens / positions windows; 0 scores all.
  int threads = 0;         ///< Of the CPU, all jobs together, but at least one each; 0 = every core.
  /// Sessions (pairs of them with a reference) that take windows side by side, which changes nothing but the time. With
  /// more than one no times are measured.
  int jobs = 1;
  std::string label = "evaluating";  ///< Of the progress bar.
};

/// The ids of a text whose documents are separated by lines that hold only U+001E: each document's tokens after `</s>`.
[[nodiscard]] absl::StatusOr<std::vector<int32_t>> EncodeDocuments(const Tokenizer& tokenizer, std::string_view text);

/// A user error unless both have the same vocabulary and positions.
[[nodiscard]] absl::Status CheckComparable(const Model& model, const Model& reference);

/// Scores `ids` by the decode kernels, token by token. Window j is ids[j*T .. (j+1)*T], both included, where T is the
/// number of the model's positions: T inputs predict T targets. An incomplete last window is dropped; fewer ids than
/// one window are a user error. `reference` may be null; if not, it runs in step and is compared with.
/// Cancelled by an interrupt, if an InterruptGuard lives.
[[nodiscard]] absl::StatusOr<Evaluation> Evaluate(const std::shared_ptr<const Model>& model,
                                                  const std::shared_ptr<const Model>& reference,
                                                  std::span<const int32_t> ids, const EvaluateOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_EVALUATE_H_
