#include "passes/sparsity/training/Moments.h"

#include <algorithm>

#include "passes/sparsity/training/LinearAlgebra.h"

namespace dejavu {
namespace {

constexpr double kRidge = 1e-3;

void AddRows(int64_t count, int64_t width, const std::vector<float>& rows, std::vector<double>& sums) {
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < width; ++j) {
      sums[static_cast<size_t>(j)] += rows[Elements(i, width) + static_cast<size_t>(j)];
    }
  }
}

}  // namespace

Moments::Moments(int64_t width, int64_t outputs)
    : x_mean(static_cast<size_t>(width)),
      y_mean(static_cast<size_t>(outputs)),
      covariance(Elements(width, width)),
      cross(Elements(width, outputs)),
      width_(width),
      outputs_(outputs),
      buffer_(Elements(width, std::max(width, outputs))) {}

void Moments::Add(int64_t count, const std::vector<float>& x, const std::vector<float>& y, int threads) {
  AddRows(count, width_, x, x_mean);
  AddRows(count, outputs_, y, y_mean);
  // sum += x^T b
  const auto add = [&](const std::vector<float>& b, int64_t columns, std::vector<double>& sum) {
    Multiply({.m = width_,
              .n = columns,
              .k = count,
              .a = x.data(),
              .a_stride = width_,
              .a_transposed = true,
              .b = b.data(),
              .b_stride = columns,
              .c = buffer_.data()},
             threads);
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] += buffer_[i];
    }
  };
  add(x, width_, covariance);
  add(y, outputs_, cross);
  count_ += count;
}

void Moments::Finish() {
  const auto n = static_cast<double>(count_);
  std::for_each(x_mean.begin(), x_mean.end(), [n](double& value) { value /= n; });
  std::for_each(y_mean.begin(), y_mean.end(), [n](double& value) { value /= n; });
  double variance = 0;
  for (int64_t i = 0; i < width_; ++i) {
    const double mean = x_mean[static_cast<size_t>(i)];
    for (int64_t j = 0; j < width_; ++j) {
      double& value = covariance[Elements(i, width_) + static_cast<size_t>(j)];
      value = value / n - mean * x_mean[static_cast<size_t>(j)];
    }
    for (int64_t j = 0; j < outputs_; ++j) {
      double& value = cross[Elements(i, outputs_) + static_cast<size_t>(j)];
      value = value / n - mean * y_mean[static_cast<size_t>(j)];
    }
    variance += covariance[Elements(i, width_) + static_cast<size_t>(i)] / static_cast<double>(width_);
  }
  for (int64_t i = 0; i < width_; ++i) {
    covariance[Elements(i, width_) + static_cast<size_t>(i)] += kRidge * variance;
  }
}

}  // namespace dejavu
