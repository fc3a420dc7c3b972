#include "passes/sparsity/training/LowRankTrainer.h"

#include <algorithm>
#include <cmath>

#include "ir/base/PredictorRows.h"
#include "passes/sparsity/training/LinearAlgebra.h"
#include "passes/sparsity/training/Moments.h"
#include "passes/sparsity/training/RoundRows.h"

namespace dejavu {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

constexpr double kSlope = 2.5;         // of a score, for each standard deviation
constexpr double kLeastColumn = 1e-6;  // of the second matrix, as a share of its largest

Floats ToFloats(const Doubles& values) { return {values.begin(), values.end()}; }

/// Gives all columns of the second matrix the same mean square, and the rows of the first one what that takes: scores
/// stay what they are. When the matrices are rounded to few bits with one scale a row, each row of the first has its
/// own, but a row of the second shares one among directions of which the first counts a hundred times the last, and
/// whose error would be the same.
void EvenOut(LowRankPredictor& p) {
  Doubles squares(static_cast<size_t>(p.rank));
  for (size_t i = 0; i < p.up.size(); ++i) {
    squares[i % squares.size()] += static_cast<double>(p.up[i]) * p.up[i];
  }
  const double largest = *std::max_element(squares.begin(), squares.end());
  if (!(largest > 0)) {
    return;
  }
  Floats sizes;
  for (const double square : squares) {
    const double size = std::max(std::sqrt(square), kLeastColumn * std::sqrt(largest));
    sizes.push_back(static_cast<float>(size / std::sqrt(static_cast<double>(p.outputs))));
  }
  for (size_t i = 0; i < p.up.size(); ++i) {
    p.up[i] /= sizes[i % sizes.size()];
  }
  for (size_t i = 0; i < p.down.size(); ++i) {
    p.down[i] *= sizes[i / static_cast<size_t>(p.width)];
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    p.down_bias[i] *= sizes[i];
  }
}

}  // namespace

absl::StatusOr<LowRankTrainer> LowRankTrainer::Create(const LayerRows& rows, int64_t held_out, const MlpWeights& mlp,
                                                      const TrainerOptions& options, const OnTick& on_tick) {
  const int64_t count = rows.rows() - held_out;
  if (count < 2) {
    return UserError("there are ", rows.rows(), " rows, too few to train on and to hold out ", held_out);
  }
  UseSerialSgemm();
  LowRankTrainer trainer(rows, count, mlp, options.threads);
  RETURN_IF_ERROR(trainer.Measure(on_tick));
  RETURN_IF_ERROR(trainer.Fit(std::min(options.max_rank, rows.width), options.bits, on_tick));
  return trainer;
}

/// Means and covariances of the inputs.
absl::Status LowRankTrainer::Measure(const OnTick& on_tick) {
  const int64_t width = rows_.width;
  Moments moments(width, width);
  Floats x(Elements(kRowsAtATime, width));
  Floats m(Elements(kRowsAtATime, width));
  for (int64_t begin = 0; begin < count_; begin += kRowsAtATime) {
    const int64_t count = std::min(kRowsAtATime, count_ - begin);
    LoadRows(rows_.predictor_inputs, width, begin, count, x.data());
    LoadRows(rows_.mlp_inputs, width, begin, count, m.data());
    moments.Add(count, x, m, threads_);
    RETURN_IF_ERROR(on_tick());
  }
  moments.Finish();
  x_mean_ = std::move(moments.x_mean);
  m_mean_ = std::move(moments.y_mean);
  covariance_ = std::move(moments.covariance);
  cross_ = std::move(moments.cross);
  return absl::OkStatus();
}

/// With L L^T the covariance of x and R the regression of m on x, the guess of z is (fc1 R^T) (x - mean). L^-1 (x -
/// mean) has covariance 1, so the best guess of low rank keeps the leading left singular vectors U of K = L^T R fc1^T:
/// hidden values U^T L^-1 (x - mean), and from them z by K^T U.
absl::Status LowRankTrainer::Fit(int64_t max_rank, int64_t bits, const OnTick& on_tick) {
  const int64_t width = rows_.width;
  const int64_t neurons = mlp_.neurons;
  max_rank_ = max_rank;
  RETURN_IF_ERROR(Cholesky(width, covariance_));
  RETURN_IF_ERROR(on_tick());
  // L^T R = L^T (L L^T)^-1 cross = L^-1 cross.
  SolveTriangular(width, covariance_, /*transposed=*/false, width, cross_, threads_);
  RETURN_IF_ERROR(on_tick());
  const Floats projected = ToFloats(cross_);
  Floats k(Elements(width, neurons));
  Multiply({.m = width,
            .n = neurons,
            .k = width,
            .a = projected.data(),
            .a_stride = width,
            .b = mlp_.fc1.data(),
            .b_stride = width,
            .b_transposed = true,
            .c = k.data()},
           threads_);
  Floats square(Elements(width, width));
  Multiply({.m = width,
            .n = width,
            .k = neurons,
            .a = k.data(),
            .a_stride = neurons,
            .b = k.data(),
            .b_stride = neurons,
            .b_transposed = true,
            .c = square.data()},
           threads_);
  RETURN_IF_ERROR(on_tick());
  const Floats u = LeadingEigenvectors(width, square, max_rank, threads_);
  RETURN_IF_ERROR(on_tick());
  up_.resize(Elements(neurons, max_rank));
  Multiply({.m = neurons,
            .n = max_rank,
            .k = width,
            .a = k.data(),
            .a_stride = neurons,
            .a_transposed = true,
            .b = u.data(),
            .b_stride = max_rank,
            .c = up_.data()},
           threads_);
  Doubles down(u.begin(), u.end());
  SolveTriangular(width, covariance_, /*transposed=*/true, max_rank, down, threads_);
  down_.resize(down.size());
  for (int64_t i = 0; i < max_rank; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      down_[Elements(i, width) + static_cast<size_t>(j)] =
          static_cast<float>(down[Elements(j, max_rank) + static_cast<size_t>(i)]);
    }
  }
  const bool finite = std::all_of(up_.begin(), up_.end(), [](float value) { return std::isfinite(value); }) &&
                      std::all_of(down_.begin(), down_.end(), [](float value) { return std::isfinite(value); });
  if (!finite) {
    return UserError("the recorded numbers are infinite, NaN or too large");
  }
  if (bits == 4 && PredictorBitsFor(bits, width) == 4) {
    RoundRows(down_, width, covariance_, threads_);  // which is a Cholesky factor by now
  }
  return on_tick();
}

absl::StatusOr<LowRankPredictor> LowRankTrainer::Train(int64_t rank, int64_t measured) const {
  if (rank < 1 || rank > max_rank_) {
    return BugError("a predictor of rank ", rank, " was asked for, but the most is ", max_rank_);
  }
  const int64_t width = rows_.width;
  LowRankPredictor predictor;
  predictor.rank = rank;
  predictor.width = width;
  predictor.outputs = mlp_.neurons;
  predictor.down.assign(down_.begin(), down_.begin() + rank * width);
  for (int64_t i = 0; i < rank; ++i) {
    double shift = 0;
    for (int64_t j = 0; j < width; ++j) {
      shift += static_cast<double>(predictor.down[Elements(i, width) + static_cast<size_t>(j)]) *
               x_mean_[static_cast<size_t>(j)];
    }
    predictor.down_bias.push_back(static_cast<float>(-shift));
  }
  for (int64_t i = 0; i < mlp_.neurons; ++i) {
    const float* from = up_.data() + i * max_rank_;
    predictor.up.insert(predictor.up.end(), from, from + rank);
    double mean = mlp_.bias[static_cast<size_t>(i)];
    for (int64_t j = 0; j < width; ++j) {
      mean +=
          static_cast<double>(mlp_.fc1[Elements(i, width) + static_cast<size_t>(j)]) * m_mean_[static_cast<size_t>(j)];
    }
    predictor.up_bias.push_back(static_cast<float>(mean));
  }
  const Floats deviations = Deviations(predictor, measured);
  for (int64_t i = 0; i < mlp_.neurons; ++i) {
    const auto at = static_cast<size_t>(i);
    const double deviation = deviations[at];
    for (int64_t j = 0; j < rank; ++j) {
      predictor.up[Elements(i, rank) + static_cast<size_t>(j)] *= static_cast<float>(kSlope / deviation);
    }
    predictor.up_bias[at] = static_cast<float>(kSlope / deviation * predictor.up_bias[at] +
                                               std::log(deviation * std::max(mlp_.norms[at], 1e-30F)));
  }
  EvenOut(predictor);
  return predictor;
}

/// Of what each neuron receives from what `predictor` guesses, over some of the rows.
Floats LowRankTrainer::Deviations(const LowRankPredictor& p, int64_t measured) const {
  const int64_t width = rows_.width;
  const int64_t neurons = mlp_.neurons;
  Doubles squares(static_cast<size_t>(neurons));
  Floats input(Elements(kRowsAtATime, width));
  Floats hidden(Elements(kRowsAtATime, p.rank));
  Floats z(Elements(kRowsAtATime, neurons));
  Floats guess(z.size());
  int64_t seen = 0;
  // Blocks from all over the text.
  const int64_t blocks = (count_ + kRowsAtATime - 1) / kRowsAtATime;
  const int64_t stride = std::max<int64_t>(1, blocks / std::max<int64_t>(1, measured / kRowsAtATime));
  for (int64_t block = 0; block < blocks; block += stride) {
    const int64_t begin = block * kRowsAtATime;
    const int64_t count = std::min(kRowsAtATime, count_ - begin);
    LoadRows(rows_.mlp_inputs, width, begin, count, input.data());
    Linear({count, neurons, width}, input.data(), mlp_.fc1.data(), mlp_.bias.data(), threads_, z.data());
    LoadRows(rows_.predictor_inputs, width, begin, count, input.data());
    Linear({count, p.rank, width}, input.data(), p.down.data(), p.down_bias.data(), threads_, hidden.data());
    Linear({count, neurons, p.rank}, hidden.data(), p.up.data(), p.up_bias.data(), threads_, guess.data());
    for (int64_t i = 0; i < count; ++i) {
      for (int64_t j = 0; j < neurons; ++j) {
        const size_t at = Elements(i, neurons) + static_cast<size_t>(j);
        const double rest = z[at] - guess[at];
        squares[static_cast<size_t>(j)] += rest * rest;
      }
    }
    seen += count;
  }
  Floats deviations;
  for (const double square : squares) {
    deviations.push_back(static_cast<float>(std::max(std::sqrt(square / static_cast<double>(seen)), 1e-6)));
  }
  return deviations;
}

}  // namespace dejavu
