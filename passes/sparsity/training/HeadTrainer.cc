#include "passes/sparsity/training/HeadTrainer.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "passes/sparsity/training/LinearAlgebra.h"
#include "passes/sparsity/training/Moments.h"
#include "passes/sparsity/training/Thresholds.h"

namespace dejavu {
namespace {

using Floats = std::vector<float>;

// Of a head's mean m: what its logarithm is bounded by where a head puts out nearly nothing.
constexpr double kFloor = 1e-6;
// Of the search for the expected m; rows that are further off pull no harder.
constexpr int kMeanSteps = 12;
constexpr float kMostExcess = 8;

/// How much the heads of a row count: the quadratic forms s o^T G o with G = out^T out of their columns.
class Amounts {
 public:
  Amounts(const HeadWeights& weights, int64_t width, int threads)
      : heads_(weights.heads),
        width_(width),
        dim_(width / weights.heads),
        sensitivity_(weights.sensitivity),
        threads_(threads),
        grams_(Elements(heads_, dim_ * dim_)) {
    Floats gram(Elements(dim_, dim_));
    for (int64_t head = 0; head < heads_; ++head) {
      const float* columns = weights.out.data() + head * dim_;
      Multiply({.m = dim_,
                .n = dim_,
                .k = width_,
                .a = columns,
                .a_stride = width_,
                .a_transposed = true,
                .b = columns,
                .b_stride = width_,
                .c = gram.data()},
               threads);
      std::copy(gram.begin(), gram.end(), grams_.begin() + head * dim_ * dim_);
    }
  }

  /// Writes m, f32<count, heads>, of rows `begin` to `begin` + `count`.
  void Compute(const HeadRows& rows, int64_t begin, int64_t count, Floats& masses) {
    outputs_.resize(Elements(count, width_));
    products_.resize(Elements(count, dim_));
    masses.assign(Elements(count, heads_), 0);
    LoadRows(rows.outputs, width_, begin, count, outputs_.data());
    for (int64_t head = 0; head < heads_; ++head) {
      const float* columns = outputs_.data() + head * dim_;
      Multiply({.m = count,
                .n = dim_,
                .k = dim_,
                .a = columns,
                .a_stride = width_,
                .b = grams_.data() + head * dim_ * dim_,
                .b_stride = dim_,
                .c = products_.data()},
               threads_);
      for (int64_t i = 0; i < count; ++i) {
        float sum = 0;
        for (int64_t j = 0; j < dim_; ++j) {
          sum += columns[i * width_ + j] * products_[Elements(i, dim_) + static_cast<size_t>(j)];
        }
        // Rounding can take a sum below zero; a NaN stays one.
        const auto mass = static_cast<float>(sum * sensitivity_[static_cast<size_t>(head)]);
        masses[Elements(i, heads_) + static_cast<size_t>(head)] = mass < 0 ? 0 : mass;
      }
    }
  }

 private:
  int64_t heads_;
  int64_t width_;
  int64_t dim_;
  std::span<const double> sensitivity_;
  int threads_;
  Floats grams_;     // (heads, dim, dim)
  Floats outputs_;   // of rows
  Floats products_;  // of one head's outputs and its gram
};

/// Adds up inputs and log(m) / 2 of the first `count` rows.
absl::Status Measure(const HeadRows& rows, int64_t count, const HeadWeights& weights, int threads,
                     const OnTick& on_tick, Moments* moments) {
  Amounts amounts(weights, rows.width, threads);
  std::vector<double> floors(static_cast<size_t>(weights.heads));
  Floats masses;
  for (int64_t begin = 0; begin < count; begin += kRowsAtATime) {
    const int64_t some = std::min(kRowsAtATime, count - begin);
    amounts.Compute(rows, begin, some, masses);
    for (size_t i = 0; i < masses.size(); ++i) {
      floors[i % floors.size()] += masses[i] * kFloor / static_cast<double>(count);
    }
    RETURN_IF_ERROR(on_tick());
  }
  Floats x(Elements(kRowsAtATime, rows.width));
  for (int64_t begin = 0; begin < count; begin += kRowsAtATime) {
    const int64_t some = std::min(kRowsAtATime, count - begin);
    LoadRows(rows.inputs, rows.width, begin, some, x.data());
    amounts.Compute(rows, begin, some, masses);
    for (size_t i = 0; i < masses.size(); ++i) {
      masses[i] = static_cast<float>(0.5 * std::log(masses[i] + floors[i % floors.size()] + 1e-30));
    }
    moments->Add(some, x, masses, threads);
    RETURN_IF_ERROR(on_tick());
  }
  moments->Finish();
  return absl::OkStatus();
}

/// scores, f32<count, heads>, of the rows x.
void Score(const HeadPredictor& predictor, int64_t count, const Floats& x, int threads, Floats& scores) {
  Linear({count, predictor.heads, predictor.width}, x.data(), predictor.weight.data(), predictor.bias.data(), threads,
         scores.data());
}

bool AllFinite(const Floats& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

/// Adds up, over the first `count` rows, how far m is above what `predictor` expects, m / exp(2 score) - 1, and its
/// products with the inputs: sums f64<heads>, products f64<width, heads>.
absl::Status AddExcess(const HeadRows& rows, int64_t count, const HeadPredictor& predictor, Amounts& amounts,
                       int threads, const OnTick& on_tick, std::vector<double>& sums, std::vector<double>& products) {
  const int64_t heads = predictor.heads;
  sums.assign(static_cast<size_t>(heads), 0);
  products.assign(Elements(rows.width, heads), 0);
  Floats x(Elements(kRowsAtATime, rows.width));
  Floats scores(Elements(kRowsAtATime, heads));
  Floats masses;
  Floats part(products.size());
  for (int64_t begin = 0; begin < count; begin += kRowsAtATime) {
    const int64_t some = std::min(kRowsAtATime, count - begin);
    LoadRows(rows.inputs, rows.width, begin, some, x.data());
    Score(predictor, some, x, threads, scores);
    amounts.Compute(rows, begin, some, masses);
    for (size_t i = 0; i < masses.size(); ++i) {
      scores[i] = std::min(masses[i] * std::exp(-2 * scores[i]) - 1, kMostExcess);
      sums[i % sums.size()] += scores[i];
    }
    Multiply({.m = rows.width,
              .n = heads,
              .k = some,
              .a = x.data(),
              .a_stride = rows.width,
              .a_transposed = true,
              .b = scores.data(),
              .b_stride = heads,
              .c = part.data()},
             threads);
    std::transform(products.begin(), products.end(), part.begin(), products.begin(), std::plus<>());
    RETURN_IF_ERROR(on_tick());
  }
  return absl::OkStatus();
}

/// From the regression of log(m) / 2 to that of m itself: the maximum of the likelihood of a gamma distribution whose
/// mean is exp(2 score), by Fisher scoring (McCullagh and Nelder, Generalized Linear Models, 2nd edition, section 8.3;
/// with this link all rows have the same weight, so every step solves with the one `lower`, which is the Cholesky
/// factor of the inputs' covariance).
absl::Status FitMeans(const HeadRows& rows, int64_t count, const HeadWeights& weights, const Moments& moments,
                      int threads, const OnTick& on_tick, HeadPredictor& predictor) {
  const int64_t heads = predictor.heads;
  Amounts amounts(weights, rows.width, threads);
  std::vector<double> sums;
  std::vector<double> products;
  for (int step = 0; step < kMeanSteps; ++step) {
    RETURN_IF_ERROR(AddExcess(rows, count, predictor, amounts, threads, on_tick, sums, products));
    for (size_t i = 0; i < products.size(); ++i) {
      const size_t input = i / static_cast<size_t>(heads);
      products[i] = (products[i] - moments.x_mean[input] * sums[i % sums.size()]) / static_cast<double>(count);
    }
    SolveTriangular(rows.width, moments.covariance, /*transposed=*/false, heads, products, threads);
    SolveTriangular(rows.width, moments.covariance, /*transposed=*/true, heads, products, threads);
    for (int64_t head = 0; head < heads; ++head) {
      double bias = 0.5 * sums[static_cast<size_t>(head)] / static_cast<double>(count);
      for (int64_t j = 0; j < rows.width; ++j) {
        const double change = 0.5 * products[Elements(j, heads) + static_cast<size_t>(head)];
        predictor.weight[Elements(head, rows.width) + static_cast<size_t>(j)] += static_cast<float>(change);
        bias -= change * moments.x_mean[static_cast<size_t>(j)];
      }
      predictor.bias[static_cast<size_t>(head)] += static_cast<float>(bias);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HeadPredictor> TrainHeads(const HeadRows& rows, int64_t held_out, const HeadWeights& weights,
                                         int threads, const OnTick& on_tick) {
  const int64_t count = rows.rows() - held_out;
  if (count < 2) {
    return UserError("there are ", rows.rows(), " rows, too few to train on and to hold out ", held_out);
  }
  UseSerialSgemm();
  HeadPredictor predictor;
  predictor.heads = weights.heads;
  predictor.width = rows.width;
  Moments moments(rows.width, weights.heads);
  RETURN_IF_ERROR(Measure(rows, count, weights, threads, on_tick, &moments));
  RETURN_IF_ERROR(Cholesky(rows.width, moments.covariance));
  RETURN_IF_ERROR(on_tick());
  SolveTriangular(rows.width, moments.covariance, /*transposed=*/false, weights.heads, moments.cross, threads);
  SolveTriangular(rows.width, moments.covariance, /*transposed=*/true, weights.heads, moments.cross, threads);
  for (int64_t head = 0; head < weights.heads; ++head) {
    double bias = moments.y_mean[static_cast<size_t>(head)];
    for (int64_t j = 0; j < rows.width; ++j) {
      const double weight = moments.cross[Elements(j, weights.heads) + static_cast<size_t>(head)];
      predictor.weight.push_back(static_cast<float>(weight));
      bias -= weight * moments.x_mean[static_cast<size_t>(j)];
    }
    predictor.bias.push_back(static_cast<float>(bias));
  }
  RETURN_IF_ERROR(FitMeans(rows, count, weights, moments, threads, on_tick, predictor));
  if (!AllFinite(predictor.weight) || !AllFinite(predictor.bias)) {
    return UserError("the recorded numbers are infinite, NaN or too large");
  }
  return predictor;
}

absl::StatusOr<HeadPredictor> AsDeployed(const HeadPredictor& predictor, int64_t bits) {
  HeadPredictor deployed = predictor;
  ASSIGN_OR_RETURN(deployed.weight, AsDeployed(predictor.weight, predictor.heads, predictor.width, bits));
  return deployed;
}

std::vector<ScoredHead> ScoreHeads(const HeadPredictor& predictor, const HeadRows& rows, int64_t held_out,
                                   const HeadWeights& weights, int threads) {
  const int64_t heads = predictor.heads;
  Amounts amounts(weights, predictor.width, threads);
  Floats x(Elements(kRowsAtATime, predictor.width));
  Floats scores(Elements(kRowsAtATime, heads));
  Floats masses;
  std::vector<ScoredHead> all;
  for (int64_t begin = rows.rows() - held_out; begin < rows.rows(); begin += kRowsAtATime) {
    const int64_t count = std::min(kRowsAtATime, rows.rows() - begin);
    LoadRows(rows.inputs, predictor.width, begin, count, x.data());
    Score(predictor, count, x, threads, scores);
    amounts.Compute(rows, begin, count, masses);
    for (size_t i = 0; i < masses.size(); ++i) {
      all.push_back({scores[i], masses[i]});
    }
  }
  return all;
}

absl::StatusOr<std::vector<std::vector<HeadPoint>>> FindHeadThresholds(std::span<const std::vector<ScoredHead>> layers,
                                                                       std::span<const double> shares) {
  std::vector<float> scores;
  size_t dense = 0;
  for (const std::vector<ScoredHead>& layer : layers) {
    dense += layer.empty() ? 1 : 0;
    for (const ScoredHead& head : layer) {
      scores.push_back(head.score);
      if (!std::isfinite(head.score) || !std::isfinite(head.mass)) {
        return UserError("the recorded numbers are infinite, NaN or too large");
      }
    }
  }
  std::vector<std::vector<HeadPoint>> points(layers.size());
  if (scores.empty()) {
    return points;
  }
  std::sort(scores.begin(), scores.end());
  const auto all = static_cast<double>(layers.size()) / static_cast<double>(layers.size() - dense);  // for each scored
  for (const double share : shares) {
    const double wanted = std::min(1.0, (1 - share) * all) * static_cast<double>(scores.size());
    const auto left_out = static_cast<size_t>(std::llround(wanted));
    for (size_t i = 0; i < layers.size(); ++i) {
      // What is equal to the threshold is left out.
      HeadPoint point{share, left_out > 0 ? scores[left_out - 1] : std::nextafter(scores[0], -1e30F), 1, 1};
      double kept = 0;
      double kept_mass = 0;
      double mass = 0;
      for (const ScoredHead& head : layers[i]) {
        mass += head.mass;
        kept += head.score > point.threshold ? 1 : 0;
        kept_mass += head.score > point.threshold ? head.mass : 0;
      }
      point.kept = layers[i].empty() ? 1 : kept / static_cast<double>(layers[i].size());
      point.recall = mass > 0 ? std::min(1.0, kept_mass / mass) : 1;
      points[i].push_back(point);
    }
  }
  return points;
}

}  // namespace dejavu
