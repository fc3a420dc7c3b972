#include "tools/driver/WindowScores.h"

#include <cmath>
#include <numeric>

#include "tools/driver/Distribution.h"
#include "tools/driver/Intervals.h"

namespace dejavu {
namespace {

int64_t CountTokens(std::span<const WindowScores> windows) {
  int64_t tokens = 0;
  for (const WindowScores& window : windows) {
    tokens += window.tokens;
  }
  return tokens;
}

double Sum(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

template <typename T>
std::vector<T> AddLayers(std::span<const WindowScores> windows, std::vector<T> WindowScores::* layers) {
  std::vector<T> sums;
  for (const WindowScores& window : windows) {
    sums.resize((window.*layers).size());
    for (size_t layer = 0; layer < sums.size(); ++layer) {
      sums[layer].Add((window.*layers)[layer]);
    }
  }
  return sums;
}

}  // namespace

double WindowScores::Add(std::span<const float> logits, std::span<const float> reference, int32_t target) {
  const double log_sum = LogSumExp(logits);
  const double token_nll = log_sum - logits[static_cast<size_t>(target)];
  nll += token_nll;
  ++tokens;
  if (reference.empty()) {
    return token_nll;
  }
  const double reference_log_sum = LogSumExp(reference);
  const double reference_token = reference_log_sum - reference[static_cast<size_t>(target)];
  reference_nll += reference_token;
  difference += token_nll - reference_token;
  divergences.push_back(Divergence(reference, reference_log_sum, logits, log_sum));
  agreements += ArgMax(logits) == ArgMax(reference) ? 1 : 0;
  return token_nll;
}

double MeanNll(std::span<const WindowScores> windows) {
  double nll = 0;
  for (const WindowScores& window : windows) {
    nll += window.nll;
  }
  return nll / static_cast<double>(CountTokens(windows));
}

Comparison CompareLogits(std::span<const WindowScores> windows) {
  const auto count = static_cast<double>(CountTokens(windows));
  double difference = 0;
  double reference_nll = 0;
  int64_t agreements = 0;
  std::vector<double> divergences;
  std::vector<double> differences;
  std::vector<double> divergence_means;
  for (const WindowScores& window : windows) {
    const auto tokens = static_cast<double>(window.tokens);
    difference += window.difference;
    reference_nll += window.reference_nll;
    agreements += window.agreements;
    divergences.insert(divergences.end(), window.divergences.begin(), window.divergences.end());
    differences.push_back(window.difference / tokens);
    divergence_means.push_back(Sum(window.divergences) / tokens);
  }
  std::optional<Interval> ratio = MeanInterval(differences);
  if (ratio.has_value()) {
    ratio = Interval{std::exp(ratio->value), std::exp(ratio->low), std::exp(ratio->high)};
  }
  return Comparison{.ppl = std::exp(reference_nll / count),
                    .ppl_ratio = std::exp(difference / count),
                    .ppl_ratio_interval = ratio,
                    .kl_mean = Sum(divergences) / count,
                    .kl_interval = MeanInterval(divergence_means),
                    .kl_p99 = Percentile(divergences, 0.99),
                    .top1_agreement = static_cast<double>(agreements) / count};
}

std::vector<RecallCounts> AddNeurons(std::span<const WindowScores> windows) {
  return AddLayers(windows, &WindowScores::neurons);
}

std::vector<HeadCounts> AddHeads(std::span<const WindowScores> windows) {
  return AddLayers(windows, &WindowScores::heads);
}

}  // namespace dejavu
