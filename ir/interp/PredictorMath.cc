#include "ir/interp/PredictorMath.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace dejavu {
namespace {

// Products and sums of floats, rounded once each, whatever the compiler makes of expressions of floats.
float Multiply(float a, float b) { return static_cast<float>(static_cast<double>(a) * static_cast<double>(b)); }
float Add(float a, float b) { return static_cast<float>(static_cast<double>(a) + static_cast<double>(b)); }

/// x ~ up * step * n.
struct Rounded {
  std::vector<int64_t> n;
  float step;
  float up;
};

/// Nothing if an x is not finite.
std::optional<Rounded> RoundToIntegers(const Tensor& x) {
  float top = 0;
  for (const double value : x.floats) {
    const auto magnitude = static_cast<float>(std::abs(value));
    if (!std::isfinite(magnitude)) {
      return std::nullopt;
    }
    top = std::max(top, magnitude);
  }
  const auto k = static_cast<int64_t>(x.floats.size());
  const auto levels = static_cast<float>(std::min<int64_t>(32767, std::numeric_limits<int32_t>::max() / (128 * k)));
  const uint32_t exponent = std::clamp(std::bit_cast<uint32_t>(top) >> 23U, 1U, 253U);
  const float down = std::bit_cast<float>((254 - exponent) << 23U);
  const float scaled = top == 0 ? 1 : Multiply(top, down);
  const float inverse = levels / scaled;
  Rounded rounded{{}, scaled / levels, std::bit_cast<float>(exponent << 23U)};
  for (const double value : x.floats) {
    const float steps = Multiply(Multiply(static_cast<float>(value), down), inverse);
    rounded.n.push_back(static_cast<int64_t>(std::nearbyint(steps)));
  }
  return rounded;
}

}  // namespace

Tensor QuantizedLinear(const Tensor& x, const Tensor& q8, const Tensor& scales, const Tensor* bias) {
  const int64_t n = q8.dims[0];
  const int64_t k = q8.dims[1];
  Tensor y = FloatTensor({1, n});
  const std::optional<Rounded> rounded = RoundToIntegers(x);
  if (!rounded) {
    std::fill(y.floats.begin(), y.floats.end(), std::nan(""));
    return y;
  }
  for (int64_t i = 0; i < n; ++i) {
    int64_t dot = 0;
    for (int64_t j = 0; j < k; ++j) {
      dot += q8.ints[i * k + j] * rounded->n[j];
    }
    const float scale = Multiply(static_cast<float>(scales.floats[i]), rounded->step);
    const float product = Multiply(Multiply(scale, static_cast<float>(dot)), rounded->up);
    y.floats[i] = bias == nullptr ? product : Add(product, static_cast<float>(bias->floats[i]));
  }
  return y;
}

Tensor Select(const Tensor& scores, std::optional<int64_t> k) {
  Tensor list;
  list.dtype = DType::kIndex;
  if (k) {
    list.ints.resize(scores.floats.size());
    std::iota(list.ints.begin(), list.ints.end(), 0);
    std::stable_sort(list.ints.begin(), list.ints.end(), [&](int64_t a, int64_t b) {
      const bool a_is_nan = std::isnan(scores.floats[a]);
      const bool b_is_nan = std::isnan(scores.floats[b]);
      return a_is_nan || b_is_nan ? a_is_nan && !b_is_nan : scores.floats[a] > scores.floats[b];
    });
    list.ints.resize(static_cast<size_t>(*k));
    std::sort(list.ints.begin(), list.ints.end());
  } else {
    for (size_t i = 0; i < scores.floats.size(); ++i) {
      if (!(scores.floats[i] <= 0)) {
        list.ints.push_back(static_cast<int64_t>(i));
      }
    }
  }
  list.dims = {static_cast<int64_t>(list.ints.size())};
  return list;
}

Tensor SparseQkv(const Tensor& x, const Tensor& w, const Tensor* bias, const Tensor& heads, int64_t all,
                 const EvalOptions& options) {
  Tensor qkv = Linear({.x = &x, .w = &w, .bias = bias}, options);
  const int64_t dim = x.dims[1] / all;
  for (int64_t head = 0; head < all; ++head) {
    if (std::find(heads.ints.begin(), heads.ints.end(), head) == heads.ints.end()) {
      std::fill_n(qkv.floats.begin() + head * dim, dim, std::nan(""));
    }
  }
  return qkv;
}

Tensor SparseOut(const LinearArgs& args, const Tensor& heads, int64_t all, const EvalOptions& options) {
  const int64_t dim = args.x->dims[1] / all;
  Tensor x = FloatTensor(args.x->dims);
  for (const int64_t head : heads.ints) {
    std::copy_n(args.x->floats.begin() + head * dim, dim, x.floats.begin() + head * dim);
  }
  LinearArgs masked = args;
  masked.x = &x;
  return Linear(masked, options);
}

}  // namespace dejavu
