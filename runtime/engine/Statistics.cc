#include "runtime/engine/Statistics.h"

#include <numeric>

namespace dejavu {
namespace {

int64_t LaunchBytes(const Launch& launch, const LaunchRecord& record, int64_t context) {
  int64_t bytes = launch.bytes + launch.bytes_per_context_token * context;
  if (launch.per_active.has_value()) {
    bytes += (launch.per_active->bytes + launch.per_active->bytes_per_context_token * context) * record.active;
  }
  if (launch.per_positive.has_value()) {
    bytes += launch.per_positive->bytes * record.positives;
  }
  return bytes;
}

double Mean(const std::vector<double>& values) {
  return values.empty() ? 0.0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

LayerCounts::LayerCounts(int64_t layers) : counters_(static_cast<size_t>(layers)) {}

void LayerCounts::Register(size_t number, const Launch& launch, int64_t all) {
  const auto layer = static_cast<size_t>(launch.layer);
  if (launch.per_active.has_value() && all > 0 && launch.layer >= 0 && layer < counters_.size() &&
      counters_[layer].all == 0) {
    counters_[layer] = {number, all, 0};
  }
}

void LayerCounts::Add(const std::vector<LaunchRecord>& records) {
  for (Counter& counter : counters_) {
    counter.active += counter.all > 0 ? records[counter.launch].active : 0;
  }
}

void LayerCounts::Add(const LayerCounts& other) {
  for (size_t layer = 0; layer < counters_.size(); ++layer) {
    counters_[layer].active += other.counters_[layer].active;
  }
}

void LayerCounts::Clear() {
  for (Counter& counter : counters_) {
    counter.active = 0;
  }
}

std::vector<double> LayerCounts::Density(int64_t tokens) const {
  std::vector<double> density;
  for (const Counter& counter : counters_) {
    const bool known = counter.all > 0 && tokens > 0;
    density.push_back(known ? static_cast<double>(counter.active) / static_cast<double>(counter.all * tokens) : 1.0);
  }
  return density;
}

Statistics::Statistics(const ModelInfo& model, const PlanFunction& decode)
    : neurons_(model.layers), heads_(model.layers) {
  for (size_t i = 0; i < decode.launches.size(); ++i) {
    const Launch& launch = decode.launches[i];
    launches_.push_back({&launch, 0, 0, 0});
    neurons_.Register(i, launch, launch.neurons);
    heads_.Register(i, launch, launch.heads);
  }
}

void Statistics::Add(const std::vector<LaunchRecord>& records, int64_t context) {
  ++tokens_;
  for (size_t i = 0; i < launches_.size(); ++i) {
    LaunchTotals& totals = launches_[i];
    const int64_t bytes = LaunchBytes(*totals.launch, records[i], context);
    totals.calls += 1;
    totals.bytes += bytes;
    totals.nanoseconds += records[i].nanoseconds;
    bytes_ += bytes;
    predictor_bytes_ += totals.launch->predictor ? bytes : 0;
  }
  neurons_.Add(records);
  heads_.Add(records);
}

void Statistics::Add(const Statistics& other) {
  tokens_ += other.tokens_;
  bytes_ += other.bytes_;
  predictor_bytes_ += other.predictor_bytes_;
  for (size_t i = 0; i < launches_.size(); ++i) {
    launches_[i].calls += other.launches_[i].calls;
    launches_[i].bytes += other.launches_[i].bytes;
    launches_[i].nanoseconds += other.launches_[i].nanoseconds;
  }
  neurons_.Add(other.neurons_);
  heads_.Add(other.heads_);
}

void Statistics::Clear() {
  tokens_ = 0;
  bytes_ = 0;
  predictor_bytes_ = 0;
  neurons_.Clear();
  heads_.Clear();
  for (LaunchTotals& totals : launches_) {
    totals = {totals.launch, 0, 0, 0};
  }
}

double Statistics::BytesPerToken() const {
  return tokens_ == 0 ? 0.0 : static_cast<double>(bytes_) / static_cast<double>(tokens_);
}

double Statistics::PredictorBytesPerToken() const {
  return tokens_ == 0 ? 0.0 : static_cast<double>(predictor_bytes_) / static_cast<double>(tokens_);
}

std::vector<double> Statistics::MlpDensity() const { return neurons_.Density(tokens_); }

std::vector<double> Statistics::HeadDensity() const { return heads_.Density(tokens_); }

double Statistics::MeanMlpDensity() const { return Mean(MlpDensity()); }

double Statistics::MeanHeadDensity() const { return Mean(HeadDensity()); }

}  // namespace dejavu
