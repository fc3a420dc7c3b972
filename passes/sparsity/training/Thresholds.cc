#include "passes/sparsity/training/Thresholds.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "ir/base/PredictorRows.h"
#include "ir/import/WeightTransforms.h"
#include "passes/sparsity/training/LinearAlgebra.h"

namespace dejavu {
namespace {

using Floats = std::vector<float>;

constexpr int64_t kBatch = 512;

/// Calls `see` with what the neurons of each of the last `held_out` rows receive, f32<neurons>, and their scores; with
/// null for what is not asked for.
struct Wanted {
  const MlpWeights* mlp = nullptr;
  const LowRankPredictor* predictor = nullptr;
};
void ForEachRow(const LayerRows& rows, int64_t held_out, const Wanted& wanted, int threads,
                const std::function<void(const float* z, const float* scores)>& see) {
  const int64_t width = rows.width;
  const LowRankPredictor* p = wanted.predictor;
  const int64_t neurons = p != nullptr ? p->outputs : wanted.mlp->neurons;
  Floats x(static_cast<size_t>(kBatch * width));
  Floats hidden(static_cast<size_t>(kBatch * (p != nullptr ? p->rank : 0)));
  Floats scores(p != nullptr ? static_cast<size_t>(kBatch * neurons) : 0);
  Floats z(wanted.mlp != nullptr ? static_cast<size_t>(kBatch * neurons) : 0);
  for (int64_t begin = rows.rows() - held_out; begin < rows.rows(); begin += kBatch) {
    const int64_t batch = std::min(kBatch, rows.rows() - begin);
    if (p != nullptr) {
      LoadRows(rows.predictor_inputs, width, begin, batch, x.data());
      Linear({batch, p->rank, width}, x.data(), p->down.data(), p->down_bias.data(), threads, hidden.data());
      Linear({batch, neurons, p->rank}, hidden.data(), p->up.data(), p->up_bias.data(), threads, scores.data());
    }
    if (wanted.mlp != nullptr) {
      LoadRows(rows.mlp_inputs, width, begin, batch, x.data());
      Linear({batch, neurons, width}, x.data(), wanted.mlp->fc1.data(), wanted.mlp->bias.data(), threads, z.data());
    }
    for (int64_t i = 0; i < batch; ++i) {
      see(wanted.mlp != nullptr ? z.data() + i * neurons : nullptr,
          p != nullptr ? scores.data() + i * neurons : nullptr);
    }
  }
}

struct Hit {
  float score;
  float mass;
};

float Below(float value) { return std::nextafter(value, -std::numeric_limits<float>::infinity()); }

/// The thresholds of one who knows each neuron's mass: `masses` has those of the active ones, `total` their sum.
std::vector<OperatingPoint> FindBest(std::vector<float> active, double total, int64_t neurons,
                                     std::span<const double> masses) {
  std::vector<OperatingPoint> points;
  std::sort(active.begin(), active.end());
  for (const double mass : masses) {
    double missed = 0;
    size_t first = 0;  // of those that are kept
    while (first < active.size() && missed + active[first] <= (1 - mass) * total) {
      missed += active[first++];
    }
    const float threshold = first < active.size() ? Below(active[first]) : 0;
    const auto kept = static_cast<double>(active.size() - first);
    points.push_back({mass, threshold, kept / static_cast<double>(std::max<int64_t>(1, neurons)),
                      kept / static_cast<double>(std::max<size_t>(1, active.size()))});
  }
  return points;
}

}  // namespace

absl::StatusOr<std::vector<float>> AsDeployed(const std::vector<float>& matrix, int64_t rows, int64_t columns,
                                              int64_t bits) {
  const auto halves = std::make_shared<std::vector<uint16_t>>(FloatsToHalves(matrix));
  WeightData data{
      DType::kF16, {rows, columns}, halves, reinterpret_cast<const std::byte*>(halves->data()), halves->size() * 2};
  Floats rounded(matrix.size());
  if (bits == 16) {
    std::transform(halves->begin(), halves->end(), rounded.begin(), HalfToFloat);
    return rounded;
  }
  const bool packed = PredictorBitsFor(bits, columns) == 4;
  ASSIGN_OR_RETURN(const WeightData q8, FindWeightTransform(packed ? "quantize4" : "quantize")->compute({data}));
  ASSIGN_OR_RETURN(const WeightData scales,
                   FindWeightTransform(packed ? "row_scales4" : "row_scales")->compute({data}));
  for (int64_t row = 0; row < rows; ++row) {
    const double scale = LoadAsDouble(scales.dtype, scales.data, static_cast<size_t>(row));
    for (int64_t column = 0; column < columns; ++column) {
      const PackedPlace place = packed ? PackedPlaceOf(column) : PackedPlace{column, false};
      const std::byte byte = q8.data[row * (packed ? columns / 2 : columns) + place.byte];
      const int8_t q = packed ? Unpack(static_cast<uint8_t>(byte), place.upper) : static_cast<int8_t>(byte);
      rounded[static_cast<size_t>(row * columns + column)] = static_cast<float>(q * scale);
    }
  }
  return rounded;
}

absl::StatusOr<LowRankPredictor> AsDeployed(const LowRankPredictor& predictor, int64_t bits) {
  LowRankPredictor deployed = predictor;
  ASSIGN_OR_RETURN(deployed.down, AsDeployed(predictor.down, predictor.rank, predictor.width, bits));
  ASSIGN_OR_RETURN(deployed.up, AsDeployed(predictor.up, predictor.outputs, predictor.rank, bits));
  return deployed;
}

absl::StatusOr<std::vector<OperatingPoint>> FindThresholds(const LowRankPredictor& predictor, const LayerRows& rows,
                                                           int64_t held_out, const MlpWeights& mlp,
                                                           std::span<const double> masses, int threads) {
  std::vector<Hit> hits;
  double total = 0;
  bool finite = true;
  ForEachRow(rows, held_out, {&mlp, &predictor}, threads, [&](const float* z, const float* scores) {
    for (int64_t i = 0; i < mlp.neurons; ++i) {
      if (!(z[i] <= 0)) {
        const float mass = z[i] * mlp.norms[static_cast<size_t>(i)];
        hits.push_back({scores[i], mass});
        total += mass;
        finite = finite && std::isfinite(scores[i]) && std::isfinite(mass);
      }
    }
  });
  if (!finite || !(total > 0)) {
    return UserError(finite ? "nothing is active in the rows that were held out"
                            : "the recorded numbers are infinite, NaN or too large");
  }
  std::sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) { return a.score < b.score; });
  std::vector<OperatingPoint> points;
  for (const double mass : masses) {
    double missed = 0;
    size_t first = 0;  // of those that are kept
    while (first < hits.size() && missed + hits[first].mass <= (1 - mass) * total) {
      missed += hits[first++].mass;
    }
    // Equal scores are kept or missed together.
    const float lowest = first < hits.size() ? hits[first].score : hits.back().score;
    const auto kept = static_cast<double>(hits.size() - first);
    points.push_back({mass, Below(lowest), 0, kept / static_cast<double>(hits.size())});
  }
  ForEachRow(rows, held_out, {nullptr, &predictor}, threads, [&](const float* /*z*/, const float* scores) {
    for (OperatingPoint& point : points) {
      point.kept += static_cast<double>(
          std::count_if(scores, scores + predictor.outputs, [&](float score) { return score > point.threshold; }));
    }
  });
  for (OperatingPoint& point : points) {
    point.kept /= static_cast<double>(held_out * predictor.outputs);
  }
  return points;
}

LayerActivity MeasureActivity(const LayerRows& rows, int64_t count, const MlpWeights& mlp,
                              std::span<const double> masses_of_best, int threads) {
  LayerActivity activity;
  activity.mass_curve.resize(std::size(kCurveShares));
  double total = 0;
  std::vector<float> active;
  std::vector<float> masses;
  ForEachRow(rows, count, {&mlp, nullptr}, threads, [&](const float* z, const float* /*scores*/) {
    masses.clear();
    for (int64_t i = 0; i < mlp.neurons; ++i) {
      if (z[i] > 0) {
        masses.push_back(z[i] * mlp.norms[static_cast<size_t>(i)]);
        total += masses.back();
      }
    }
    active.insert(active.end(), masses.begin(), masses.end());
    std::sort(masses.begin(), masses.end(), std::greater<>());
    for (size_t i = 0; i < std::size(kCurveShares); ++i) {
      const auto best = static_cast<size_t>(std::llround(kCurveShares[i] * static_cast<double>(mlp.neurons)));
      for (size_t j = 0; j < std::min(best, masses.size()); ++j) {
        activity.mass_curve[i] += masses[j];
      }
    }
  });
  activity.density =
      static_cast<double>(active.size()) / static_cast<double>(std::max<int64_t>(1, count * mlp.neurons));
  for (double& mass : activity.mass_curve) {
    mass = total > 0 ? std::min(1.0, mass / total) : 0;  // sums in other orders round to other numbers
  }
  activity.best = FindBest(std::move(active), total, count * mlp.neurons, masses_of_best);
  return activity;
}

}  // namespace dejavu
