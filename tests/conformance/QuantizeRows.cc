#include "tests/conformance/QuantizeRows.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dejavu::testing {
namespace {

// The square root of a sum of squares in double is right to 2^-40 for any width in use; floats are rounded up.
float NormUp(double sum_of_squares) {
  const double norm = std::sqrt(sum_of_squares) * (1 + 0x1p-40);
  const auto rounded = static_cast<float>(norm);
  return rounded < norm ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

}  // namespace

QuantizedRows QuantizeRows(const std::vector<float>& weights, const std::vector<float>& bias, int64_t k) {
  QuantizedRows result;
  for (size_t row = 0; row < bias.size(); ++row) {
    const float* w = weights.data() + row * static_cast<size_t>(k);
    float largest = 0;
    for (int64_t i = 0; i < k; ++i) {
      largest = std::max(largest, std::abs(w[i]));
    }
    const float scale = largest / 127;
    double residual = 0;
    double norm = 0;
    for (int64_t i = 0; i < k; ++i) {
      const double q = scale > 0 ? std::clamp(std::nearbyint(w[i] / scale), -127.0F, 127.0F) : 0.0;
      const double error = w[i] - scale * q;
      residual += error * error;
      norm += static_cast<double>(w[i]) * w[i];
      result.q8.push_back(static_cast<int8_t>(std::isfinite(q) ? q : 0));
    }
    result.rows.insert(result.rows.end(), {scale, NormUp(residual), NormUp(norm), bias[row]});
  }
  return result;
}

}  // namespace dejavu::testing
