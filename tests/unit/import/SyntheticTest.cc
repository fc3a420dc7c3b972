// Synthetic models: every published shape builds, and what the runtime fills in is what the compiler reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <random>

#include "ir/base/QuantizedCopy.h"
#include "ir/import/SyntheticReader.h"
#include "ir/import/SyntheticWeights.h"
#include "ir/verify/Verifier.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"

namespace dejavu {
namespace {

class SyntheticShapes : public testing::TestWithParam<std::string> {};

TEST_P(SyntheticShapes, BuildAValidModule) {
  const auto module = ReadSynthetic(GetParam());
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_TRUE(VerifyModule(**module).ok()) << VerifyModule(**module);
  EXPECT_TRUE(IsSynthetic(**module));
}

INSTANTIATE_TEST_SUITE_P(All, SyntheticShapes,
                         testing::Values("opt-125m", "opt-350m", "opt-1.3b", "opt-2.7b", "opt-6.7b", "opt-13b",
                                         "opt-30b", "opt-66b", "opt-175b", "opt-66b:layers=1"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace_if(
                               name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(SyntheticConfigTest, RefusesOtherNamesAndLayers) {
  for (const char* text : {"", "opt", "opt-66", "opt-66b:", "opt-66b:layers=", "opt-66b:layers=0", "opt-66b:layers=65",
                           "opt-66b:layers=2x", "opt-66b:heads=2", "opt-66b:layers=99999999999999999999", "OPT-66B"}) {
    EXPECT_THAT(SyntheticConfig(text).status().message(), testing::HasSubstr("is not NAME or NAME:layers=N")) << text;
  }
}

class SyntheticFills : public testing::TestWithParam<std::string> {};

/// Takes a model through its pipeline and returns the weights that its launches read, as bytes of both origins.
TEST_P(SyntheticFills, AreTheBytesOfTheWeights) {
  const auto module = ReadSynthetic("opt-125m:layers=2");
  ASSERT_TRUE(module.ok()) << module.status();
  const Budgets budgets = GetParam() == "predicted" ? Budgets{0.1, 0.42} : Budgets{};
  const auto text = PipelineBetween(**module, "sched", GetParam(), budgets);
  ASSERT_TRUE(text.ok()) << text.status();
  WeightStore store;
  ASSERT_TRUE(RunPipeline(**module, store, *ParsePipeline(*text), {}, std::cerr).ok());
  int transforms = 0;
  for (const auto& weight : (*module)->weights()) {
    const auto fill = FillOf(*weight);
    ASSERT_TRUE(fill.ok()) << fill.status();
    const auto data = store.Read(*weight);
    ASSERT_TRUE(data.ok()) << data.status();
    const int64_t columns = data->dims.size() == 1 ? 1 : data->dims[1];
    std::vector<std::byte> filled(data->bytes, std::byte{0xA5});
    FillSynthetic(*fill, data->dtype, data->dims[0], columns, 0, data->dims[0], filled.data());
    transforms += weight->is_derived() ? 1 : 0;
    if (weight->transform != "quantized_rows") {
      EXPECT_EQ(std::memcmp(filled.data(), data->data, data->bytes), 0) << weight->name;
      continue;
    }
    // Scale, residual's norm, norm, bias of each row: the norms are bounds.
    for (size_t i = 0; i < data->bytes / sizeof(float); ++i) {
      float made = 0;
      float exact = 0;
      std::memcpy(&made, filled.data() + i * sizeof(float), sizeof(float));
      std::memcpy(&exact, data->data + i * sizeof(float), sizeof(float));
      const bool norm = i % 4 == 1 || i % 4 == 2;
      EXPECT_TRUE(norm ? made >= exact : made == exact) << weight->name << " " << i << ": " << made << " " << exact;
    }
  }
  EXPECT_GT(transforms, 5);
}

INSTANTIATE_TEST_SUITE_P(Sparsity, SyntheticFills, testing::Values("none", "exact", "predicted"),
                         [](const auto& test) { return test.param; });

TEST(FillSyntheticTest, RowsCanBeFilledInParts) {
  const SyntheticFill fill = {.step = 0.25F, .seeds = {7, 9}};
  std::vector<std::byte> whole(size_t{6} * 8 * 2);
  FillSynthetic(fill, DType::kF16, 6, 8, 0, 6, whole.data());
  std::vector<std::byte> part(size_t{2} * 8 * 2);
  FillSynthetic(fill, DType::kF16, 6, 8, 2, 2, part.data());
  EXPECT_EQ(std::memcmp(part.data(), whole.data() + 2 * 8 * 2, part.size()), 0);
}

/// What the biases of `file`'s predictors of `tensor` choose.
std::vector<size_t> ChosenOf(const std::string& file, const std::string& tensor) {
  const auto source = OpenSyntheticSource(file);
  EXPECT_TRUE(source.ok()) << source.status();
  const auto data = (*source)->Read(tensor);
  EXPECT_TRUE(data.ok()) << data.status();
  std::vector<size_t> chosen;
  for (size_t i = 0; i < data->bytes / sizeof(float); ++i) {
    float bias = 0;
    std::memcpy(&bias, data->data + i * sizeof(float), sizeof(float));
    EXPECT_GT(std::abs(bias), 1e15F);
    if (bias > 0) {
      chosen.push_back(i);
    }
  }
  return chosen;
}

TEST(SyntheticPredictorsTest, ChooseExactlyTheirBudgetScattered) {
  for (const std::string shape : {"opt-125m", "opt-6.7b", "opt-66b"}) {
    const OptConfig config = *SyntheticConfig(shape);
    const int64_t neurons = config.ffn / 10;
    const std::string file = SyntheticPredictorFile("synthetic:" + shape, {1000, neurons, config.heads / 3});
    const std::vector<size_t> chosen = ChosenOf(file, "layers.3.mlp.predictor.bias");
    EXPECT_EQ(chosen.size(), static_cast<size_t>(neurons));
    EXPECT_NE(chosen, ChosenOf(file, "layers.4.mlp.predictor.bias"));
    for (size_t i = 1; i < chosen.size(); ++i) {
      EXPECT_GE(chosen[i] - chosen[i - 1], 5U) << shape;
      EXPECT_LE(chosen[i] - chosen[i - 1], 21U) << shape;
    }
    EXPECT_EQ(ChosenOf(file, "layers.3.heads.predictor.bias").size(), static_cast<size_t>(config.heads / 3));
  }
}

TEST(SyntheticPredictorsTest, Of16BitsScoreSoThatThresholdsChooseTheBudget) {
  const OptConfig config = *SyntheticConfig("opt-125m");
  constexpr int64_t kRank = 96;
  const std::string file = SyntheticPredictorFile("synthetic:opt-125m", {kRank, config.ffn / 10, 3, true, 16});
  EXPECT_EQ(file, "synthetic:opt-125m:rank=96:neurons=307:heads=3:bits=16:by_score=1");
  const auto source = OpenSyntheticSource(file);
  ASSERT_TRUE(source.ok()) << source.status();
  const auto down = (*source)->Read("layers.3.mlp.predictor.down");
  const auto up = (*source)->Read("layers.3.mlp.predictor.up");
  const auto bias = (*source)->Read("layers.3.mlp.predictor.bias");
  ASSERT_TRUE(down.ok() && up.ok() && bias.ok());
  EXPECT_EQ(down->dtype, DType::kF16);
  EXPECT_EQ(down->dims, (std::vector<int64_t>{kRank, config.hidden}));
  EXPECT_EQ(up->dims, (std::vector<int64_t>{config.ffn, kRank}));
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal;
  int64_t chosen = 0;
  constexpr int64_t kInputs = 20;
  for (int64_t input = 0; input < kInputs; ++input) {
    std::vector<double> x(config.hidden);
    std::generate(x.begin(), x.end(), [&] { return normal(random); });
    std::vector<double> hidden(kRank);
    for (int64_t i = 0; i < kRank * config.hidden; ++i) {
      hidden[i / config.hidden] += LoadAsDouble(down->dtype, down->data, i) * x[i % config.hidden];
    }
    for (int64_t i = 0; i < config.ffn; ++i) {
      double score = LoadAsDouble(bias->dtype, bias->data, i);
      for (int64_t j = 0; j < kRank; ++j) {
        score += LoadAsDouble(up->dtype, up->data, i * kRank + j) * hidden[j];
      }
      chosen += score > 0 ? 1 : 0;
    }
  }
  EXPECT_NEAR(static_cast<double>(chosen) / (kInputs * config.ffn), 0.1, 0.03);
}

TEST(SyntheticPredictorsTest, RefuseOtherFiles) {
  for (const char* file :
       {"synthetic:opt-125m:rank=0:neurons=1:heads=1", "synthetic:opt-125m:rank=8:neurons=1",
        "synthetic:opt-125m:rank=8", "synthetic:opt-125m:rank=8:neurons=9999:heads=1",
        "synthetic:opt-125m:rank=8:neurons=1:heads=-1", "synthetic:opt-125m:rank=8:neurons=1:heads=1:bits=3",
        "synthetic:opt-125m:rank=x:neurons=1:heads=1", "synthetic:opt-1t:rank=8:neurons=1:heads=1"}) {
    EXPECT_FALSE(OpenSyntheticSource(file).ok()) << file;
  }
  const auto source = OpenSyntheticSource("synthetic:opt-125m:rank=8:neurons=1:heads=1");
  ASSERT_TRUE(source.ok());
  EXPECT_FALSE((*source)->Read("layers.0.fc1.weight").ok());
  EXPECT_FALSE((*source)->Read("layers.0.mlp.predictor.norm").ok());
}

TEST(FillSyntheticTest, CopiesAreNearTheirGrids) {
  constexpr int64_t kColumns = 200;
  std::vector<float> grid(size_t{7} * kColumns);
  FillSynthetic({.step = 1, .seeds = {3}}, DType::kF32, 7, kColumns, 0, 7, reinterpret_cast<std::byte*>(grid.data()));
  for (const int64_t bits : {2, 3, 4, 8}) {
    const SyntheticFill fill = {.step = 1, .seeds = {3}, .copy_bits = bits, .copy_columns = kColumns};
    const int64_t bytes = CopyRowBytes(bits, kColumns);
    std::vector<std::byte> copy(static_cast<size_t>(7 * bytes));
    FillSynthetic(fill, DType::kI8, 7, bytes, 0, 7, copy.data());
    for (int64_t i = 0; i < 7 * kColumns; ++i) {
      int64_t q = 0;
      int64_t start = i / kColumns * bytes;
      for (const int number : {0, 1}) {
        const CopyPlane plane = CopyPlaneOf(bits, number);
        if (plane.bits > 0) {
          const int64_t in_block = i % kColumns % plane.block_columns();
          const int64_t at = start + i % kColumns / plane.block_columns() * 16 + in_block % 16;
          const int64_t byte = std::to_integer<int64_t>(copy[static_cast<size_t>(at)]);
          q += (byte >> (plane.bits * (in_block / 16)) & ((1 << plane.bits) - 1)) << plane.shift;
          start += plane.bytes(kColumns);
        }
      }
      const double half_step = std::exp2(7 - bits);
      EXPECT_NEAR(half_step * static_cast<double>(2 * q - CopyCentre(bits)), grid[static_cast<size_t>(i)],
                  half_step + 0.5);
    }
  }
}

TEST(FillSyntheticTest, NumbersSpreadEvenly) {
  std::vector<float> grid(size_t{1} << 16);
  FillSynthetic({.step = 1, .seeds = {1}}, DType::kF32, 256, 256, 0, 256, reinterpret_cast<std::byte*>(grid.data()));
  double sum = 0;
  double square = 0;
  for (size_t i = 0; i < grid.size(); ++i) {
    if (i % 256 != 0) {  // the first column is fixed
      sum += grid[i];
      square += static_cast<double>(grid[i]) * grid[i];
    }
  }
  const double count = 256.0 * 255;
  EXPECT_NEAR(sum / count, 0, 1.5);  // five standard errors
  EXPECT_NEAR(std::sqrt(square / count), kSyntheticGridDeviation, 1);
}

}  // namespace
}  // namespace dejavu
