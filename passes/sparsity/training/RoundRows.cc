#include "passes/sparsity/training/RoundRows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dejavu {
namespace {

constexpr double kMost = 7;                      // with -8 the packing would look for another step
constexpr double kSteps[] = {1, 0.9, 0.8, 0.7};  // of the one at which the largest element is 7

using Doubles = std::vector<double>;

/// A row being rounded.
class RowRounder {
 public:
  RowRounder(const float* row, int64_t width, const Doubles& lower) : row_(row), width_(width), lower_(lower) {
    for (int64_t i = 0; i < width; ++i) {
      largest_ = std::max(largest_, std::abs(static_cast<double>(row[i])));
    }
  }

  /// Fills in the multiples of the step that is `share` of the coarsest; returns the variance of the error. Infinite if
  /// the packing wouldn't find the step.
  double Round(double share, bool makes_up, Doubles& rounded) {
    const double step = share * largest_ / kMost;
    rounded.resize(static_cast<size_t>(width_));
    errors_.assign(static_cast<size_t>(width_), 0);
    double variance = 0;
    double most = 0;
    for (int64_t i = width_ - 1; i >= 0; --i) {
      const double* row_of_lower = lower_.data() + i * width_;
      const double wanted = row_[i] + (makes_up ? errors_[static_cast<size_t>(i)] / row_of_lower[i] : 0);
      const double q = std::clamp(std::nearbyint(wanted / step), -kMost, kMost);
      most = std::max(most, std::abs(q));
      const double error = row_[i] - q * step;
      rounded[static_cast<size_t>(i)] = q * step;
      // Row i of L^T (w - q) is complete now: no element before i is in it.
      const double left = errors_[static_cast<size_t>(i)] + row_of_lower[i] * error;
      variance += left * left;
      for (int64_t j = 0; j < i; ++j) {
        errors_[static_cast<size_t>(j)] += row_of_lower[j] * error;
      }
    }
    return most == kMost ? variance : std::numeric_limits<double>::infinity();
  }

  [[nodiscard]] bool IsUsual() const { return largest_ > 0 && std::isfinite(largest_); }

 private:
  const float* row_;
  int64_t width_;
  const Doubles& lower_;
  double largest_ = 0;
  Doubles errors_;  // of L^T (w - q), as far as it is known
};

}  // namespace

void RoundRows(std::vector<float>& matrix, int64_t width, const std::vector<double>& lower, int threads) {
  const auto rows = static_cast<int64_t>(matrix.size()) / width;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t row = 0; row < rows; ++row) {
    float* values = matrix.data() + row * width;
    RowRounder rounder(values, width, lower);
    if (!rounder.IsUsual()) {
      continue;
    }
    double least = std::numeric_limits<double>::infinity();
    Doubles best;
    Doubles rounded;
    for (const bool makes_up : {false, true}) {
      for (const double share : kSteps) {
        if (const double variance = rounder.Round(share, makes_up, rounded); variance < least) {
          least = variance;
          best = rounded;
        }
      }
    }
    std::transform(best.begin(), best.end(), values, [](double value) { return static_cast<float>(value); });
  }
}

}  // namespace dejavu
