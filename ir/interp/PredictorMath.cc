#include "ir/interp/PredictorMath.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"

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

/// To integers from -`most` to `most`. Nothing if an x is not finite.
std::optional<Rounded> RoundToIntegers(std::span<const double> x, int64_t most) {
  float top = 0;
  for (const double value : x) {
    const auto magnitude = static_cast<float>(std::abs(value));
    if (!std::isfinite(magnitude)) {
      return std::nullopt;
    }
    top = std::max(top, magnitude);
  }
  const auto levels = static_cast<float>(most);
  const uint32_t exponent = std::clamp(std::bit_cast<uint32_t>(top) >> 23U, 1U, 253U);
  const float down = std::bit_cast<float>((254 - exponent) << 23U);
  const float scaled = top == 0 ? 1 : Multiply(top, down);
  const float inverse = levels / scaled;
  Rounded rounded{{}, scaled / levels, std::bit_cast<float>(exponent << 23U)};
  for (const double value : x) {
    const float steps = Multiply(Multiply(static_cast<float>(value), down), inverse);
    rounded.n.push_back(static_cast<int64_t>(std::nearbyint(steps)));
  }
  return rounded;
}

/// Field number `column` of a plane that starts at byte `start`.
int64_t CopyField(const Tensor& copy, int64_t start, const CopyPlane& plane, int64_t column) {
  const int64_t in_block = column % plane.block_columns();
  const int64_t byte = column / plane.block_columns() * kCopyBlockBytes + in_block % kCopyBlockBytes;
  const auto bits = static_cast<uint64_t>(copy.ints[start + byte]) & 0xFFU;
  const auto shift = static_cast<uint64_t>(plane.bits * (in_block / kCopyBlockBytes));
  return static_cast<int64_t>(bits >> shift & ((uint64_t{1} << static_cast<uint64_t>(plane.bits)) - 1));
}

/// The element of the copy as bits.
int64_t CopyElement(const CopyArgs& args, int64_t k, int64_t row, int64_t column) {
  int64_t start = row * args.copy->dims[1];
  int64_t q = 0;
  for (const int number : {0, 1}) {
    const CopyPlane plane = CopyPlaneOf(args.bits, number);
    if (plane.bits > 0) {
      q += CopyField(*args.copy, start, plane, column) << plane.shift;
      start += plane.bytes(k);
    }
  }
  return q;
}

/// One row of QuantizedLinear().
void MultiplyRow(std::span<const double> x, const Tensor& q8, const Tensor& scales, const Tensor* bias,
                 std::span<double> y) {
  const int64_t n = q8.dims[0];
  const auto k = static_cast<int64_t>(x.size());
  const int64_t bytes = q8.dims[1];
  const auto element = [&](int64_t row, int64_t column) -> int64_t {
    if (bytes == k) {
      return q8.ints[row * bytes + column];
    }
    const PackedPlace place = PackedPlaceOf(column);
    return Unpack(static_cast<uint8_t>(q8.ints[row * bytes + place.byte]), place.upper);
  };
  const std::optional<Rounded> rounded =
      RoundToIntegers(x, std::min<int64_t>(32767, std::numeric_limits<int32_t>::max() / (128 * k)));
  if (!rounded) {
    std::fill(y.begin(), y.end(), std::nan(""));
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    int64_t dot = 0;
    for (int64_t j = 0; j < k; ++j) {
      dot += element(i, j) * rounded->n[j];
    }
    const float scale = Multiply(static_cast<float>(scales.floats[i]), rounded->step);
    const float product = Multiply(Multiply(scale, static_cast<float>(dot)), rounded->up);
    y[i] = bias == nullptr ? product : Add(product, static_cast<float>(bias->floats[i]));
  }
}

/// The numbers of one row's choice.
std::vector<int64_t> SelectOfRow(std::span<const double> scores, std::optional<int64_t> k) {
  std::vector<int64_t> list;
  if (!k) {
    for (size_t i = 0; i < scores.size(); ++i) {
      if (!(scores[i] <= 0)) {
        list.push_back(static_cast<int64_t>(i));
      }
    }
    return list;
  }
  list.resize(scores.size());
  std::iota(list.begin(), list.end(), 0);
  std::stable_sort(list.begin(), list.end(), [&](int64_t a, int64_t b) {
    const bool a_is_nan = std::isnan(scores[a]);
    const bool b_is_nan = std::isnan(scores[b]);
    return a_is_nan || b_is_nan ? a_is_nan && !b_is_nan : scores[a] > scores[b];
  });
  list.resize(static_cast<size_t>(*k));
  return list;
}

/// Row `t` of a matrix.
std::span<const double> Row(const Tensor& x, int64_t t) {
  return std::span(x.floats).subspan(static_cast<size_t>(t * x.dims[1]), static_cast<size_t>(x.dims[1]));
}

}  // namespace

Tensor QuantizedFlags(const Tensor& x, const CopyArgs& args) {
  const int64_t n = args.copy->dims[0];
  const int64_t k = x.dims[1];
  Tensor flags;
  flags.dtype = DType::kU8;
  flags.dims = {n};
  flags.ints.assign(static_cast<size_t>(n), 1);
  const std::optional<Rounded> rounded = RoundToIntegers(x.floats, CopyLevels(args.bits, k));
  const int64_t tested = args.among == nullptr ? n : static_cast<int64_t>(args.among->ints.size());
  for (int64_t at = 0; rounded && at < tested; ++at) {
    const int64_t i = args.among == nullptr ? at : args.among->ints[at];
    int64_t dot = 0;
    for (int64_t j = 0; j < k; ++j) {
      const int64_t scale = args.group_scales->ints[i * args.group_scales->dims[1] + j / args.group];
      dot += scale * (2 * CopyElement(args, k, i, j) - CopyCentre(args.bits)) * rounded->n[j];
    }
    const auto of_row = [&](int64_t column) { return static_cast<float>(args.rows->floats[3 * i + column]); };
    const float sum = Multiply(Multiply(Multiply(of_row(0), rounded->step), static_cast<float>(dot)), rounded->up);
    flags.ints[at] = Add(sum, Add(of_row(1), Multiply(args.margin, of_row(2)))) <= 0 ? 0 : 1;
  }
  return flags;
}

Tensor QuantizedLinear(const Tensor& x, const Tensor& q8, const Tensor& scales, const Tensor* bias) {
  const auto n = static_cast<size_t>(q8.dims[0]);
  Tensor y = FloatTensor({x.dims[0], q8.dims[0]});
  for (int64_t t = 0; t < x.dims[0]; ++t) {
    MultiplyRow(Row(x, t), q8, scales, bias, std::span(y.floats).subspan(static_cast<size_t>(t) * n, n));
  }
  return y;
}

Tensor Select(const Tensor& scores, std::optional<int64_t> k) {
  std::set<int64_t> chosen;
  for (int64_t t = 0; t < scores.dims[0]; ++t) {
    const std::vector<int64_t> of_row = SelectOfRow(Row(scores, t), k);
    chosen.insert(of_row.begin(), of_row.end());
  }
  Tensor list;
  list.dtype = DType::kIndex;
  list.ints.assign(chosen.begin(), chosen.end());
  list.dims = {static_cast<int64_t>(list.ints.size())};
  return list;
}

Tensor SparseQkv(const Tensor& x, const Tensor& w, const Tensor* bias, const Tensor& heads, int64_t all,
                 const EvalOptions& options) {
  Tensor qkv = Linear({.x = &x, .w = &w, .bias = bias}, options);
  const int64_t dim = x.dims[1] / all;
  for (int64_t head = 0; head < all; ++head) {
    if (std::find(heads.ints.begin(), heads.ints.end(), head) == heads.ints.end()) {
      for (int64_t t = 0; t < x.dims[0]; ++t) {
        std::fill_n(qkv.floats.begin() + t * 3 * x.dims[1] + head * dim, dim, std::nan(""));
      }
    }
  }
  return qkv;
}

Tensor SparseOut(const LinearArgs& args, const Tensor& heads, int64_t all, const EvalOptions& options) {
  const int64_t dim = args.x->dims[1] / all;
  Tensor x = FloatTensor(args.x->dims);
  for (int64_t t = 0; t < x.dims[0]; ++t) {
    for (const int64_t head : heads.ints) {
      const int64_t at = t * x.dims[1] + head * dim;
      std::copy_n(args.x->floats.begin() + at, dim, x.floats.begin() + at);
    }
  }
  LinearArgs masked = args;
  masked.x = &x;
  return Linear(masked, options);
}

}  // namespace dejavu
