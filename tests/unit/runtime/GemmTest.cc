#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "ir/base/Sgemm.h"
#include "runtime/cpu/Gemm.h"
#include "runtime/cpu/HostBuffer.h"
#include "runtime/cpu/Widen.h"

namespace dejavu {
namespace {

struct GemmCase {
  GemmSpec spec;
  int64_t tokens = 0;
};

std::vector<float> Random(size_t count, uint32_t seed) {
  std::minstd_rand random(seed);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  std::vector<float> values(count);
  for (float& value : values) {
    value = uniform(random);
  }
  return values;
}

/// A matrix as it is stored, and what it holds after rounding to its dtype.
struct StoredMatrix {
  std::vector<std::byte> bytes;
  std::vector<double> values;
};

StoredMatrix Store(DType dtype, const std::vector<float>& values) {
  StoredMatrix matrix;
  matrix.bytes.resize(values.size() * DTypeSize(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      reinterpret_cast<float*>(matrix.bytes.data())[i] = values[i];
    } else {
      reinterpret_cast<uint16_t*>(matrix.bytes.data())[i] =
          dtype == DType::kF16 ? FloatToHalf(values[i]) : FloatToBFloat16(values[i]);
    }
    matrix.values.push_back(LoadAsDouble(dtype, matrix.bytes.data(), i));
  }
  return matrix;
}

class GemmTest : public ::testing::TestWithParam<GemmCase> {};

TEST_P(GemmTest, AgreesWithTheObviousLoops) {
  const auto& [spec, tokens] = GetParam();
  const auto n = static_cast<size_t>(spec.n);
  const auto k = static_cast<size_t>(spec.k);
  const auto rows = static_cast<size_t>(tokens);
  const StoredMatrix w = Store(spec.dtype, Random(n * k, 1));
  const std::vector<float> x = Random(rows * k, 2);
  const std::vector<float> bias = Random(n, 3);
  const std::vector<float> residual = Random(rows * n, 4);
  UseSerialSgemm();
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 3}) {
    // The residual stream is updated in place.
    std::vector<float> y = residual;
    const GemmCall call = {
        x.data(), w.bytes.data(), spec.bias ? bias.data() : nullptr, spec.residual ? y.data() : nullptr,
        y.data(), tokens};
    for (int thread = 0; thread < threads; ++thread) {
      std::vector<float> scratch(GemmScratchFloats(spec, tokens));
      RunGemm(spec, call, thread, threads, scratch);
    }
    results.push_back(y);
  }
  EXPECT_EQ(results[0], results[1]) << "depends on the number of threads";
  for (size_t t = 0; t < rows; ++t) {
    for (size_t i = 0; i < n; ++i) {
      double sum = spec.bias ? bias[i] : 0.0;
      for (size_t j = 0; j < k; ++j) {
        sum += x[t * k + j] * w.values[spec.transposed ? j * n + i : i * k + j];
      }
      sum = spec.relu ? std::max(sum, 0.0) : sum;
      sum += spec.residual ? residual[t * n + i] : 0.0;
      ASSERT_NEAR(results[0][t * n + i], sum, 1e-5 * std::sqrt(static_cast<double>(k))) << "token " << t << ", " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, GemmTest,
    ::testing::Values(GemmCase{{.n = 1, .k = 1}, 1}, GemmCase{{.n = 131, .k = 72, .bias = true}, 7},
                      GemmCase{{.n = 300, .k = 1100, .dtype = DType::kF16, .relu = true, .bias = true}, 3},
                      GemmCase{{.n = 40, .k = 9000, .dtype = DType::kBF16, .residual = true}, 2},
                      GemmCase{{.n = 520, .k = 1200, .transposed = true, .bias = true, .residual = true}, 5},
                      GemmCase{{.n = 259,
                                .k = 1030,
                                .dtype = DType::kF16,
                                .relu = true,
                                .transposed = true,
                                .bias = true,
                                .residual = true},
                               4},
                      GemmCase{{.n = 264, .k = 520, .dtype = DType::kBF16, .transposed = true}, 1}));

TEST(WidenTest, EveryHalfIsExact) {
  std::vector<uint16_t> halves(65536 + 3);
  for (size_t i = 0; i < halves.size(); ++i) {
    halves[i] = static_cast<uint16_t>(i);
  }
  std::vector<float> fast(halves.size());
  std::vector<float> portable(halves.size());
  Widen(DType::kF16, halves.data(), fast.data(), halves.size());
  WidenHalfPortable(halves.data(), portable.data(), halves.size());
  for (size_t i = 0; i < halves.size(); ++i) {
    const float expected = HalfToFloat(halves[i]);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(fast[i]) && std::isnan(portable[i])) << i;
    } else {
      EXPECT_EQ(fast[i], expected) << i;
      EXPECT_EQ(portable[i], expected) << i;
      EXPECT_EQ(std::signbit(portable[i]), std::signbit(expected)) << i;
    }
  }
}

TEST(GemmNaNTest, ReluKeepsNaN) {
  const GemmSpec spec = {.n = 1, .k = 1, .relu = true};
  const float x = std::numeric_limits<float>::quiet_NaN();
  const float w = 1;
  float y = 0;
  std::vector<float> scratch(GemmScratchFloats(spec, 1));
  RunGemm(spec, {&x, &w, nullptr, nullptr, &y, 1}, 0, 1, scratch);
  EXPECT_TRUE(std::isnan(y));
}

TEST(HostBufferTest, AnImpossibleSizeIsAnErrorThatNamesTheUse) {
  const auto buffer = HostBuffer::Allocate(size_t{1} << 62, "the KV cache 'kv0'");
  ASSERT_FALSE(buffer.ok());
  EXPECT_EQ(std::string(buffer.status().message()).find("not enough memory for the KV cache 'kv0'"), 0);
}

}  // namespace
}  // namespace dejavu
