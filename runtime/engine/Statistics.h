// What decoding read and which neurons it used.
#ifndef DEJAVU_RUNTIME_ENGINE_STATISTICS_H_
#define DEJAVU_RUNTIME_ENGINE_STATISTICS_H_

#include <cstdint>
#include <vector>

#include "runtime/artifact/Manifest.h"
#include "runtime/artifact/Plan.h"
#include "runtime/device/Device.h"

namespace dejavu {

/// Totals of one launch over all observed tokens.
struct LaunchTotals {
  const Launch* launch = nullptr;
  int64_t calls = 0;
  int64_t bytes = 0;
  int64_t nanoseconds = 0;
};

/// By layer, how many of its neurons or heads were in its list.
class LayerCounts {
 public:
  explicit LayerCounts(int64_t layers);
  /// Launch `number` has a list of some of its layer's `all` neurons or heads. Several launches of a layer may have the
  /// same list; the first one is enough.
  void Register(size_t number, const Launch& launch, int64_t all);
  void Add(const std::vector<LaunchRecord>& records);
  /// Adds those of another session of the same plan.
  void Add(const LayerCounts& other);
  void Clear();
  /// The mean share of the layer that was in the list; 1 for a layer without one.
  [[nodiscard]] std::vector<double> Density(int64_t tokens) const;

 private:
  struct Counter {
    size_t launch = 0;
    int64_t all = 0;
    int64_t active = 0;
  };
  std::vector<Counter> counters_;
};

/// Totals over the tokens that a session decoded while statistics were on. The plan must outlive it.
class Statistics {
 public:
  Statistics(const ModelInfo& model, const PlanFunction& decode);

  /// Adds one token, decoded with `context` positions in the cache, itself included.
  void Add(const std::vector<LaunchRecord>& records, int64_t context);
  /// Adds the tokens of another session of the same plan.
  void Add(const Statistics& other);
  void Clear();

  [[nodiscard]] int64_t tokens() const { return tokens_; }
  /// Weights, caches and activations read and written, per token; 0 before the first token.
  [[nodiscard]] double BytesPerToken() const;
  /// The share of them that predicts or tests which neurons are needed.
  [[nodiscard]] double PredictorBytesPerToken() const;
  /// For each layer, the mean share of its MLP's neurons (or attention heads) that were computed; 1 for a dense one.
  [[nodiscard]] std::vector<double> MlpDensity() const;
  [[nodiscard]] std::vector<double> HeadDensity() const;
  /// The mean of MlpDensity().
  [[nodiscard]] double MeanMlpDensity() const;
  [[nodiscard]] double MeanHeadDensity() const;
  /// One for each launch of the decode function, in order.
  [[nodiscard]] const std::vector<LaunchTotals>& launches() const { return launches_; }

 private:
  int64_t tokens_ = 0;
  int64_t bytes_ = 0;
  int64_t predictor_bytes_ = 0;
  std::vector<LaunchTotals> launches_;
  LayerCounts neurons_;
  LayerCounts heads_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ENGINE_STATISTICS_H_
