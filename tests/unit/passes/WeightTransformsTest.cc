// Derived weights: layouts, and the certified copy's bounds.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "ir/base/PredictorRows.h"
#include "ir/base/QuantizedCopy.h"
#include "ir/import/CopyTransforms.h"
#include "ir/import/WeightTransforms.h"

namespace dejavu {
namespace {

WeightData FloatData(std::vector<int64_t> dims, const std::vector<float>& values) {
  auto owner = std::make_shared<std::vector<float>>(values);
  WeightData data{DType::kF32, std::move(dims), owner, reinterpret_cast<const std::byte*>(owner->data()),
                  values.size() * sizeof(float)};
  return data;
}

float FloatAt(const WeightData& data, size_t i) { return static_cast<float>(LoadAsDouble(data.dtype, data.data, i)); }

WeightData Compute(std::string_view name, const std::vector<WeightData>& sources) {
  absl::StatusOr<WeightData> result = FindWeightTransform(name)->compute(sources);
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

TEST(WeightTransforms, TransposeMovesEveryElement) {
  std::vector<float> values(37 * 70);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(i);
  }
  const WeightData turned = Compute("transpose", {FloatData({37, 70}, values)});
  ASSERT_EQ(turned.dims, (std::vector<int64_t>{70, 37}));
  for (size_t r = 0; r < 37; ++r) {
    for (size_t c = 0; c < 70; ++c) {
      ASSERT_EQ(FloatAt(turned, c * 37 + r), values[r * 70 + c]);
    }
  }
}

TEST(WeightTransforms, ConcatStacksRows) {
  const WeightData joined = Compute("concat", {FloatData({1, 2}, {1, 2}), FloatData({2, 2}, {3, 4, 5, 6})});
  ASSERT_EQ(joined.dims, (std::vector<int64_t>{3, 2}));
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(FloatAt(joined, i), static_cast<float>(i + 1));
  }
}

TEST(WeightTransforms, QuantizedRowsBoundTheRounding) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  constexpr size_t kRows = 50;
  constexpr size_t kColumns = 96;
  std::vector<float> w(kRows * kColumns);
  for (size_t i = 0; i < w.size(); ++i) {
    w[i] = normal(random) * std::pow(10.0F, static_cast<float>(i / kColumns % 9) * 8 - 36);
  }
  const std::vector<WeightData> sources = {FloatData({kRows, kColumns}, w),
                                           FloatData({kRows}, std::vector<float>(kRows, 0.5F))};
  const WeightData q = Compute("quantize", {sources[0]});
  const WeightData rows = Compute("quantized_rows", sources);
  for (size_t r = 0; r < kRows; ++r) {
    const double scale = FloatAt(rows, r * 4);
    double residual = 0;
    double norm = 0;
    for (size_t c = 0; c < kColumns; ++c) {
      const double value = w[r * kColumns + c];
      const double rest = value - scale * LoadAsDouble(DType::kI8, q.data, r * kColumns + c);
      residual += rest * rest;
      norm += value * value;
    }
    EXPECT_GE(static_cast<double>(FloatAt(rows, r * 4 + 1)), std::sqrt(residual)) << "row " << r;
    EXPECT_GE(static_cast<double>(FloatAt(rows, r * 4 + 2)), std::sqrt(norm)) << "row " << r;
    EXPECT_LE(static_cast<double>(FloatAt(rows, r * 4 + 2)), std::sqrt(norm) * (1 + 1e-6) + 1e-44) << "row " << r;
    EXPECT_EQ(FloatAt(rows, r * 4 + 3), 0.5F);
  }
}

TEST(WeightTransforms, FourBitsLoseLittleOfARow) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  constexpr size_t kRows = 20;
  constexpr size_t kColumns = 256;
  std::vector<float> w(kRows * kColumns);
  for (size_t i = 0; i < w.size(); ++i) {
    w[i] = i / kColumns == 3 ? 0 : normal(random) * std::pow(10.0F, static_cast<float>(i / kColumns) - 10);
  }
  const WeightData q = Compute("quantize4", {FloatData({kRows, kColumns}, w)});
  const WeightData scales = Compute("row_scales4", {FloatData({kRows, kColumns}, w)});
  ASSERT_EQ(q.dims, (std::vector<int64_t>{kRows, kColumns / 2}));
  for (size_t r = 0; r < kRows; ++r) {
    double lost = 0;
    double norm = 0;
    for (size_t c = 0; c < kColumns; ++c) {
      const PackedPlace place = PackedPlaceOf(static_cast<int64_t>(c));
      const auto byte = std::to_integer<uint8_t>(q.data[r * kColumns / 2 + static_cast<size_t>(place.byte)]);
      const double value = w[r * kColumns + c];
      const double rest = value - static_cast<double>(FloatAt(scales, r)) * Unpack(byte, place.upper);
      lost += rest * rest;
      norm += value * value;
    }
    EXPECT_LE(std::sqrt(lost), 0.13 * std::sqrt(norm)) << "row " << r;
  }
}

TEST(WeightTransforms, RowsThatCannotBeScaledSayNothing) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<WeightData> sources = {FloatData({3, 2}, {0, 0, 1e-42F, -1e-42F, inf, 1}),
                                           FloatData({3}, {0, 0, 0})};
  const WeightData rows = Compute("quantized_rows", sources);
  EXPECT_EQ(FloatAt(rows, 0), 0);
  EXPECT_EQ(FloatAt(rows, 4), 0) << "a scale of subnormals would be too coarse";
  EXPECT_GE(FloatAt(rows, 5), 1.41e-42F);
  EXPECT_EQ(FloatAt(rows, 8), 0);
  EXPECT_EQ(FloatAt(rows, 9), inf) << "so its neuron is always read";
}

TEST(WeightTransforms, SourcesAreChecked) {
  const Type matrix{DType::kF32, {int64_t{2}, int64_t{3}}};
  const Type vector{DType::kF32, {int64_t{2}}};
  const Type ints{DType::kI8, {int64_t{2}, int64_t{3}}};
  EXPECT_FALSE(FindWeightTransform("transpose")->infer({vector}).ok());
  EXPECT_FALSE(FindWeightTransform("concat")->infer({matrix, vector}).ok());
  EXPECT_FALSE(FindWeightTransform("quantize")->infer({ints}).ok());
  EXPECT_FALSE(FindWeightTransform("quantize4")->infer({matrix}).ok()) << "3 columns can't be packed";
  EXPECT_FALSE(FindWeightTransform("quantized_rows")->infer({matrix, {DType::kF32, {int64_t{3}}}}).ok());
  EXPECT_EQ(FindWeightTransform("rotate"), nullptr);
}

TEST(WeightTransforms, TransposingTwiceIsTheWeightItself) {
  Module module("m");
  Weight file;
  file.name = "w";
  file.type = {DType::kF32, {int64_t{2}, int64_t{3}}};
  Weight* w = module.AddWeight(file);
  Weight* turned = AddDerivedWeight(module, "w.T", "transpose", {w});
  EXPECT_EQ(turned->type.ToString(), "f32<3, 2>");
  EXPECT_EQ(AddDerivedWeight(module, "w.T.T", "transpose", {turned}), w);
}

TEST(WeightTransforms, ATakenNameIsNotTakenForTheWeight) {
  Module module("m");
  Weight file;
  file.name = "w";
  file.type = {DType::kF32, {int64_t{3}, int64_t{3}}};
  Weight* w = module.AddWeight(file);
  file.name = "w.T";
  Weight* unrelated = module.AddWeight(file);
  Weight* turned = AddDerivedWeight(module, "w.T", "transpose", {w});
  EXPECT_NE(turned, unrelated);
  EXPECT_EQ(turned->transform, "transpose");
  EXPECT_EQ(AddDerivedWeight(module, "w.T", "transpose", {w}), turned) << "asked for again, it is the same";
}

/// The elements that a copy stands for.
std::vector<double> Restored(const WeightData& copy, const WeightData& scales, const WeightData& rows, int64_t bits,
                             int64_t group, int64_t k) {
  std::vector<double> values;
  for (int64_t i = 0; i < copy.dims[0]; ++i) {
    for (int64_t j = 0; j < k; ++j) {
      int64_t q = 0;
      int64_t start = i * copy.dims[1];
      for (const int number : {0, 1}) {
        const CopyPlane plane = CopyPlaneOf(bits, number);
        if (plane.bits > 0) {
          const int64_t in_block = j % plane.block_columns();
          const auto byte = std::to_integer<int64_t>(copy.data[start + j / plane.block_columns() * 16 + in_block % 16]);
          q += (byte >> (plane.bits * (in_block / 16)) & ((1 << plane.bits) - 1)) << plane.shift;
          start += plane.bytes(k);
        }
      }
      const double m = LoadAsDouble(DType::kI8, scales.data, static_cast<size_t>(i * scales.dims[1] + j / group));
      EXPECT_GE(m, 1);
      EXPECT_LE(m, static_cast<double>(MostGroupScale(bits)));
      const double scale = LoadAsDouble(DType::kF32, rows.data, static_cast<size_t>(3 * i));
      values.push_back(static_cast<double>(2 * q - CopyCentre(bits)) * m * scale);
    }
  }
  return values;
}

TEST(WeightTransforms, CopiesAreNearAndKnowHowNear) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  constexpr int64_t kRows = 20;
  constexpr int64_t kColumns = 200;
  std::vector<float> w(kRows * kColumns);
  std::vector<float> norm(kColumns);
  std::vector<float> bias(kRows);
  for (float& value : w) {
    value = normal(random);
  }
  for (float& value : bias) {
    value = normal(random);
  }
  for (float& value : norm) {
    value = normal(random);
  }
  const WeightData matrix = FloatData({kRows, kColumns}, w);
  const WeightData vector = FloatData({kColumns}, norm);
  for (const int64_t bits : {2, 3, 4, 8}) {
    for (const int64_t group : {32, 64, 128}) {
      const auto compute = [&](CopyPart part, const std::vector<WeightData>& sources) {
        return Compute(CopyTransformName(part, bits, group), sources);
      };
      const WeightData copy = compute(CopyPart::kCopy, {matrix});
      const WeightData scales = compute(CopyPart::kScales, {matrix});
      const WeightData rows = compute(CopyPart::kRows, {matrix, FloatData({kRows}, bias), vector, vector});
      const std::vector<double> restored = Restored(copy, scales, rows, bits, group, kColumns);
      double all = 0;
      for (size_t i = 0; i < kRows; ++i) {
        double weighted = 0;
        for (size_t j = 0; j < kColumns; ++j) {
          const double rest = w[i * kColumns + j] - restored[i * kColumns + j];
          all += rest * rest;
          weighted += rest * rest * 2 * norm[j] * norm[j];
        }
        EXPECT_EQ(FloatAt(rows, 3 * i + 1), bias[i]);
        EXPECT_NEAR(FloatAt(rows, 3 * i + 2), std::sqrt(weighted), 1e-5 * std::sqrt(weighted));
      }
      // Uniform quantisers of normal numbers at their best lose 0.1188, 0.0374 and 0.0115 of the squares with 2, 3 and
      // 4 bits (Max, Quantizing for Minimum Distortion, 1960); a scale for each group does no worse.
      const double lost = bits == 2 ? 0.119 : bits == 3 ? 0.0375 : bits == 4 ? 0.0116 : 0.0004;
      EXPECT_LT(all / (kRows * kColumns), lost * 1.1) << bits << " bits, groups of " << group;
    }
  }
}

TEST(WeightTransforms, CopiesOfOddRowsAlwaysListThemOrAreZero) {
  std::vector<float> w(3 * 40, 0.0F);
  w[5] = std::numeric_limits<float>::infinity();
  w[80] = std::numeric_limits<float>::denorm_min();
  const WeightData rows = Compute(
      "int4_rows_g32", {FloatData({3, 40}, w), FloatData({3}, {1, 2, 3}), FloatData({40}, std::vector<float>(40, 1)),
                        FloatData({40}, std::vector<float>(40, 0))});
  EXPECT_TRUE(std::isnan(FloatAt(rows, 0)));
  EXPECT_EQ(FloatAt(rows, 3), 0);
  EXPECT_EQ(FloatAt(rows, 4), 2);
  EXPECT_EQ(FloatAt(rows, 6), 0);
}

}  // namespace
}  // namespace dejavu
