#include "runtime/engine/Statistics.h"

#include <numeric>

namespace dejavu {
namespace {

int64_t LaunchBytes(const Launch& launch, const LaunchRecord& record, int64_t context) {
  int64_t bytes = launch.bytes + launch.bytes_per_context_token * context;
  if (launch.per_active.has_value()) {
    bytes += launch.per_active->bytes * record.active;
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

Statistics::Statistics(const ModelInfo& model, const PlanFunction& decode)
    : counter_(static_cast<size_t>(model.layers), kNone), active_(counter_.size(), 0) {
  for (size_t i = 0; i < decode.launches.size(); ++i) {
    const Launch& launch = decode.launches[i];
    launches_.push_back({&launch, 0, 0, 0});
    const auto layer = static_cast<size_t>(launch.layer);
    const bool counts = launch.per_active.has_value() && launch.neurons > 0 && launch.layer >= 0;
    // Several launches of a layer may take the same list; the first one is enough.
    if (counts && layer < counter_.size() && counter_[layer] == kNone) {
      counter_[layer] = i;
    }
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
  for (size_t layer = 0; layer < counter_.size(); ++layer) {
    if (counter_[layer] != kNone) {
      active_[layer] += records[counter_[layer]].active;
    }
  }
}

void Statistics::Clear() {
  tokens_ = 0;
  bytes_ = 0;
  predictor_bytes_ = 0;
  active_.assign(active_.size(), 0);
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

std::vector<double> Statistics::MlpDensity() const {
  std::vector<double> density(counter_.size(), 1.0);
  for (size_t layer = 0; layer < density.size(); ++layer) {
    if (counter_[layer] != kNone && tokens_ > 0) {
      const auto neurons = static_cast<double>(launches_[counter_[layer]].launch->neurons);
      density[layer] = static_cast<double>(active_[layer]) / (neurons * static_cast<double>(tokens_));
    }
  }
  return density;
}

// No pass skips heads yet: every head of every layer is computed.
std::vector<double> Statistics::HeadDensity() const { return std::vector<double>(counter_.size(), 1.0); }

double Statistics::MeanMlpDensity() const { return Mean(MlpDensity()); }

double Statistics::MeanHeadDensity() const { return Mean(HeadDensity()); }

}  // namespace dejavu
