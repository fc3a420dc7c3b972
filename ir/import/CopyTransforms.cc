#include "ir/import/CopyTransforms.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "ir/base/QuantizedCopy.h"

namespace dejavu {
namespace {

// How much of a group's largest magnitude the largest number stands for, in the scales that are tried: the fewer bits,
// the more is gained by cutting off what is far out.
constexpr int kCandidates = 14;
float LeastReach(int64_t bits) { return bits == 2 ? 0.35F : bits == 3 ? 0.5F : bits == 4 ? 0.7F : 0.95F; }

/// round(x), for |x| < 2^22: halves to even. Unlike a call of nearbyint it can be done for a vector.
float RoundSmall(float x) { return (x + 12582912.0F) - 12582912.0F; }

/// 2 q - c of w with steps of 1 / inverse from one number to the next.
float Level(float w, float inverse, float centre) {
  return 2 * std::clamp(RoundSmall(w * inverse + centre / 2), 0.0F, centre) - centre;
}

/// The scale that, times the numbers 2 q - c, is nearest to `count` elements in the sum of squares; 0 for zeros.
float GroupScale(const float* w, int64_t count, int64_t bits) {
  float top = 0;
  for (int64_t j = 0; j < count; ++j) {
    top = std::max(top, std::abs(w[j]));
  }
  const auto centre = static_cast<float>(CopyCentre(bits));
  float best = 0;
  float best_gain = 0;
  for (int i = 0; i < kCandidates && top >= std::numeric_limits<float>::min(); ++i) {
    const float reach = LeastReach(bits) + (1 - LeastReach(bits)) * static_cast<float>(i) / (kCandidates - 1);
    const float inverse = centre / 2 / (top * reach);
    float products = 0;
    float squares = 0;
    for (int64_t j = 0; j < count; ++j) {
      const float level = Level(w[j], inverse, centre);
      products += level * (w[j] / top);
      squares += level * level;
    }
    // With the best scale for these levels, products / squares, the squares of w lose this much.
    const float gain = products * products / squares;
    if (gain > best_gain) {
      best_gain = gain;
      best = products / squares * top;
    }
  }
  return best;
}

/// One row: (2 q - c) m scale is near w.
struct QuantizedRow {
  std::vector<uint8_t> q;
  std::vector<int8_t> m;
  float scale = 0;
};

QuantizedRow QuantizeRow(const std::vector<float>& w, int64_t bits, int64_t group) {
  const auto k = static_cast<int64_t>(w.size());
  const int64_t groups = CopyGroups(k, group);
  QuantizedRow row{std::vector<uint8_t>(w.size()), std::vector<int8_t>(static_cast<size_t>(groups), 1), 0};
  if (!std::all_of(w.begin(), w.end(), [](float value) { return std::isfinite(value); })) {
    row.scale = std::numeric_limits<float>::quiet_NaN();
    return row;
  }
  std::vector<float> scales;
  scales.reserve(static_cast<size_t>(groups));
  for (int64_t g = 0; g < groups; ++g) {
    scales.push_back(GroupScale(w.data() + g * group, std::min(group, k - g * group), bits));
  }
  const auto most = static_cast<float>(MostGroupScale(bits));
  const float unit = *std::max_element(scales.begin(), scales.end()) / most;
  if (unit < std::numeric_limits<float>::min()) {
    return row;
  }
  const auto centre = static_cast<float>(CopyCentre(bits));
  double products = 0;
  double squares = 0;
  for (int64_t g = 0; g < groups; ++g) {
    const float m = std::clamp(std::round(scales[static_cast<size_t>(g)] / unit), 1.0F, most);
    row.m[static_cast<size_t>(g)] = static_cast<int8_t>(m);
    for (int64_t j = g * group; j < std::min(k, (g + 1) * group); ++j) {
      const float value = w[static_cast<size_t>(j)];
      const float level = Level(value, 1 / (2 * m * unit), centre);
      row.q[static_cast<size_t>(j)] = static_cast<uint8_t>((level + centre) / 2);
      products += static_cast<double>(level * m) * static_cast<double>(value);
      squares += static_cast<double>(level * m) * static_cast<double>(level * m);
    }
  }
  const auto scale = static_cast<float>(products / squares);
  row.scale = scale >= std::numeric_limits<float>::min() ? scale : 0;
  return row;
}

/// The fields of a plane, in its order.
void PackPlane(const std::vector<uint8_t>& q, const CopyPlane& plane, std::byte* out) {
  if (plane.bits == 0) {
    return;
  }
  const auto columns = static_cast<size_t>(plane.block_columns());
  const unsigned mask = (1U << static_cast<unsigned>(plane.bits)) - 1;
  for (size_t j = 0; j < q.size(); ++j) {
    const auto field = static_cast<unsigned>(q[j]) >> static_cast<unsigned>(plane.shift) & mask;
    const auto at = static_cast<unsigned>(plane.bits) * static_cast<unsigned>(j % columns / kCopyBlockBytes);
    out[j / columns * kCopyBlockBytes + j % kCopyBlockBytes] |= static_cast<std::byte>(field << at);
  }
}

/// The root of the sum of (w - copy)^2 (gamma^2 + beta^2).
float Deviation(const std::vector<float>& w, const QuantizedRow& row, const CopyTransform& how,
                const std::vector<double>& squares) {
  double sum = 0;
  for (size_t j = 0; j < w.size(); ++j) {
    const auto level = static_cast<double>(2 * static_cast<int64_t>(row.q[j]) - CopyCentre(how.bits));
    const double m = row.m[j / static_cast<size_t>(how.group)];
    const double rest = static_cast<double>(w[j]) - level * m * static_cast<double>(row.scale);
    sum += rest * rest * squares[j];
  }
  return static_cast<float>(std::sqrt(sum));
}

absl::StatusOr<Type> Infer(const CopyTransform& how, const std::vector<Type>& sources) {
  const Type& w = sources[0];
  if (w.rank() != 2 || !IsFloat(w.dtype)) {
    return UserError("a copy needs a float matrix, but the source is ", w.ToString());
  }
  const int64_t rows = w.shape[0].size();
  const int64_t columns = w.shape[1].size();
  for (size_t i = 1; i < sources.size(); ++i) {
    const int64_t size = i == 1 ? rows : columns;
    if (sources[i].rank() != 1 || sources[i].shape[0] != Dim(size) || !IsFloat(sources[i].dtype)) {
      return UserError("the rows of a copy need a bias, a gamma and a beta that fit ", w.ToString(), ", but get ",
                       sources[i].ToString());
    }
  }
  switch (how.part) {
    case CopyPart::kCopy:
      return Type{DType::kI8, {Dim(rows), Dim(CopyRowBytes(how.bits, columns))}};
    case CopyPart::kScales:
      return Type{DType::kI8, {Dim(rows), Dim(CopyGroups(columns, how.group))}};
    default:
      return Type{DType::kF32, {Dim(rows), Dim(int64_t{3})}};
  }
}

absl::StatusOr<WeightData> Compute(const CopyTransform& how, const std::vector<WeightData>& sources) {
  const WeightData& from = sources[0];
  const int64_t rows = from.dims[0];
  const int64_t columns = from.dims[1];
  const int64_t width = how.part == CopyPart::kCopy     ? CopyRowBytes(how.bits, columns)
                        : how.part == CopyPart::kScales ? CopyGroups(columns, how.group)
                                                        : 3;
  WeightData to;
  to.dtype = how.part == CopyPart::kRows ? DType::kF32 : DType::kI8;
  to.dims = {rows, width};
  to.bytes = static_cast<size_t>(rows * width) * DTypeSize(to.dtype);
  const auto bytes = std::make_shared<std::vector<std::byte>>(to.bytes);
  to.data = bytes->data();
  to.owner = bytes;
  std::vector<double> squares;
  for (int64_t j = 0; how.part == CopyPart::kRows && j < columns; ++j) {
    const double gamma = LoadAsDouble(sources[2].dtype, sources[2].data, static_cast<size_t>(j));
    const double beta = LoadAsDouble(sources[3].dtype, sources[3].data, static_cast<size_t>(j));
    squares.push_back(gamma * gamma + beta * beta);
  }
  std::vector<float> w(static_cast<size_t>(columns));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      w[static_cast<size_t>(j)] =
          static_cast<float>(LoadAsDouble(from.dtype, from.data, static_cast<size_t>(i * columns + j)));
    }
    const QuantizedRow row = QuantizeRow(w, how.bits, how.group);
    std::byte* out = bytes->data() + static_cast<size_t>(i * width) * DTypeSize(to.dtype);
    if (how.part == CopyPart::kCopy) {
      PackPlane(row.q, CopyPlaneOf(how.bits, 0), out);
      PackPlane(row.q, CopyPlaneOf(how.bits, 1), out + CopyPlaneOf(how.bits, 0).bytes(columns));
    } else if (how.part == CopyPart::kScales) {
      std::memcpy(out, row.m.data(), row.m.size());
    } else {
      const auto bias = static_cast<float>(LoadAsDouble(sources[1].dtype, sources[1].data, static_cast<size_t>(i)));
      const std::array<float, 3> values = {row.scale, bias, Deviation(w, row, how, squares)};
      std::memcpy(out, values.data(), sizeof(values));
    }
  }
  return to;
}

constexpr std::array<int64_t, 4> kBits = {2, 3, 4, 8};
constexpr std::array<int64_t, 3> kGroups = {32, 64, 128};
constexpr size_t kCount = 3 * kBits.size() * kGroups.size();

constexpr CopyTransform Number(size_t i) {
  return {static_cast<CopyPart>(i % 3), kBits[i / 3 % kBits.size()], kGroups[i / 3 / kBits.size()]};
}

struct Named {
  std::string name;
  CopyTransform transform;
};

const std::array<Named, kCount>& AllNames() {
  static const auto* const names = [] {
    auto* all = new std::array<Named, kCount>();
    for (size_t i = 0; i < kCount; ++i) {
      const CopyTransform how = Number(i);
      (*all)[i] = {CopyTransformName(how.part, how.bits, how.group), how};
    }
    return all;
  }();
  return *names;
}

/// Functions of WeightTransform have no room for what is the same in all of them.
template <size_t kNumber>
WeightTransform Entry() {
  constexpr CopyTransform kHow = Number(kNumber);
  constexpr size_t kSources = kHow.part == CopyPart::kRows ? 4 : 1;
  constexpr std::array<std::string_view, 3> kSummaries = {
      "The planes of a copy of few bits an element, and a scale for each group of columns.",
      "The scale of each group of columns of such a copy.",
      "Of each row of such a copy: scale, bias, and the deviation of its error for what a layer norm makes."};
  return {AllNames()[kNumber].name,
          kSummaries[static_cast<size_t>(kHow.part)],
          kSources,
          kSources,
          [](const std::vector<Type>& sources) { return Infer(Number(kNumber), sources); },
          [](const std::vector<WeightData>& sources) { return Compute(Number(kNumber), sources); }};
}

template <size_t... kNumbers>
std::vector<WeightTransform> AllEntries(std::index_sequence<kNumbers...> /*numbers*/) {
  return {Entry<kNumbers>()...};
}

}  // namespace

std::string CopyTransformName(CopyPart part, int64_t bits, int64_t group) {
  constexpr std::array<std::string_view, 3> kParts = {"copy", "scales", "rows"};
  return absl::StrCat("int", bits, "_", std::string(kParts[static_cast<size_t>(part)]), "_g", group);
}

const CopyTransform* FindCopyTransform(std::string_view name) {
  const auto& names = AllNames();
  const auto* it = std::find_if(names.begin(), names.end(), [name](const Named& named) { return named.name == name; });
  return it == names.end() ? nullptr : &it->transform;
}

absl::Span<const WeightTransform> CopyTransforms() {
  static const auto* const entries = new std::vector<WeightTransform>(AllEntries(std::make_index_sequence<kCount>()));
  return *entries;
}

}  // namespace dejavu
