// certified_test never drops a neuron whose ReLU output is positive, in whatever order a float kernel adds it up.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/conformance/Cases.h"
#include "tests/conformance/Problem.h"
#include "tests/conformance/QuantizeRows.h"
#include "tests/conformance/TestDevice.h"

namespace dejavu::testing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kDenormal = std::numeric_limits<float>::denorm_min();

struct Neurons {
  std::vector<float> x;        // (k)
  std::vector<float> weights;  // (n, k)
  std::vector<float> bias;     // (n)

  [[nodiscard]] size_t k() const { return x.size(); }
  [[nodiscard]] size_t n() const { return bias.size(); }
  [[nodiscard]] const float* row(size_t i) const { return weights.data() + i * k(); }
};

double ExactSum(const Neurons& neurons, size_t i) {
  long double sum = neurons.bias[i];
  for (size_t j = 0; j < neurons.k(); ++j) {
    sum += static_cast<long double>(neurons.row(i)[j]) * static_cast<long double>(neurons.x[j]);
  }
  return static_cast<double>(sum);
}

// w.x in floats with `lanes` partial sums, from the first or the last element on, with or without fused products.
float FloatDot(const Neurons& neurons, size_t i, size_t lanes, bool backwards, bool fused) {
  std::vector<float> partial(lanes, 0.0F);
  for (size_t step = 0; step < neurons.k(); ++step) {
    const size_t j = backwards ? neurons.k() - 1 - step : step;
    float& sum = partial[j % lanes];
    const float w = neurons.row(i)[j];
    if (fused) {
      sum = std::fma(w, neurons.x[j], sum);
    } else {
      const volatile float product = w * neurons.x[j];
      sum += product;
    }
  }
  float total = 0;
  for (const float sum : partial) {
    total += sum;
  }
  return total;
}

// Whether any way to compute the neuron gives a positive number, infinity or NaN.
bool MayBePositive(const Neurons& neurons, size_t i) {
  bool positive = !(ExactSum(neurons, i) <= 0);
  for (const size_t lanes : {1, 4, 8, 16, 32}) {
    for (const bool backwards : {false, true}) {
      for (const bool fused : {false, true}) {
        positive = positive || !(FloatDot(neurons, i, lanes, backwards, fused) + neurons.bias[i] <= 0);
      }
    }
  }
  return positive;
}

// Kernels of one shape for every device that is fast enough.
class Tester {
 public:
  Tester(size_t n, size_t k) : spec_(CertifiedTestSpec(static_cast<int64_t>(n), static_cast<int64_t>(k))) {
    for (const TestDevice* device : TestDevices()) {
      if (device->WhyNot().empty() && device->fast()) {
        absl::StatusOr<std::unique_ptr<TestKernel>> kernel = device->Compile(spec_);
        EXPECT_TRUE(kernel.ok()) << kernel.status();
        kernels_.push_back(*std::move(kernel));
        names_.push_back(device->name());
      }
    }
  }

  // Flags on each device, after checking that no neuron that may be positive was dropped.
  std::vector<std::vector<bool>> Check(const Neurons& neurons, const std::string& what) {
    const QuantizedRows rows = QuantizeRows(neurons.weights, neurons.bias, static_cast<int64_t>(neurons.k()));
    Problem problem;
    problem.spec = spec_;
    problem.args = {ValuesArgument(DType::kF32, {neurons.x.begin(), neurons.x.end()}),
                    ValuesArgument(DType::kI8, {rows.q8.begin(), rows.q8.end()}),
                    ValuesArgument(DType::kF32, {rows.rows.begin(), rows.rows.end()}),
                    PoisonedArgument(DType::kU8, neurons.n())};
    std::vector<std::vector<bool>> all_flags;
    for (size_t device = 0; device < kernels_.size(); ++device) {
      // In turns, so that each way to run a call comes up.
      const size_t variant = calls_++ % kernels_[device]->variants().size();
      const absl::StatusOr<std::vector<Argument>> after = kernels_[device]->Call(problem, variant);
      EXPECT_TRUE(after.ok()) << after.status();
      std::vector<bool> flags;
      for (size_t i = 0; i < neurons.n(); ++i) {
        flags.push_back(after->at(3).At(i) != 0);
        EXPECT_TRUE(flags[i] || !MayBePositive(neurons, i)) << what << ", " << names_[device] << ": neuron " << i
                                                            << " was dropped, its sum is " << ExactSum(neurons, i);
      }
      all_flags.push_back(std::move(flags));
    }
    return all_flags;
  }

 private:
  KernelSpec spec_;
  std::vector<std::unique_ptr<TestKernel>> kernels_;
  std::vector<std::string> names_;
  size_t calls_ = 0;
};

class CertifiedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string reasons;
    for (const TestDevice* device : TestDevices()) {
      if (device->WhyNot().empty() && device->fast()) {
        return;
      }
      reasons += device->WhyNot() + "; ";
    }
    GTEST_SKIP() << reasons;
  }

  CertifiedTest() : seed_(std::random_device()()), random_(seed_), trace_(__FILE__, __LINE__, SeedText()) {}

  std::string SeedText() const { return "seed " + std::to_string(seed_); }

  std::vector<float> Normal(size_t count, double scale) {
    std::normal_distribution<double> normal(0, 1);
    std::vector<float> values(count);
    for (float& value : values) {
      value = static_cast<float>(normal(random_) * scale);
    }
    return values;
  }

  // Biases are of the size of the products.
  Neurons RandomNeurons(size_t n, size_t k, double w_scale, double x_scale) {
    return {Normal(k, x_scale), Normal(n * k, w_scale),
            Normal(n, w_scale * x_scale * std::sqrt(static_cast<double>(k)))};
  }

  // Sets each bias so that the sum lies within a few steps of a float around zero.
  static void PutAtZero(Neurons& neurons) {
    for (size_t i = 0; i < neurons.n(); ++i) {
      neurons.bias[i] = 0;
      const bool exact = i % 2 == 0;
      auto bias = static_cast<float>(-(exact ? ExactSum(neurons, i) : FloatDot(neurons, i, 8, i % 4 == 1, true)));
      const int steps = static_cast<int>(i / 2 % 7) - 3;
      for (int step = 0; step < std::abs(steps); ++step) {
        bias = std::nextafter(bias, steps > 0 ? kInfinity : -kInfinity);
      }
      neurons.bias[i] = bias;
    }
  }

  const unsigned seed_;
  std::mt19937_64 random_;
  const ::testing::ScopedTrace trace_;
};

TEST_F(CertifiedTest, KeepsPositiveNeuronsAtExtremeScales) {
  for (const size_t k : {8, 24, 768}) {
    Tester tester(64, k);
    for (const double w_scale : {1e-42, 1e-38, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30, 1e38}) {
      for (const double x_scale : {1e-44, 1e-38, 1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e20, 1e30, 1e38}) {
        tester.Check(RandomNeurons(64, k, w_scale, x_scale),
                     "w " + std::to_string(w_scale) + " x " + std::to_string(x_scale));
      }
    }
  }
}

TEST_F(CertifiedTest, KeepsPositiveNeuronsRightAtZero) {
  for (const size_t k : {8, 40, 768, 3072}) {
    Tester tester(130, k);
    for (const double w_scale : {1e-30, 1e-3, 1.0, 1e15}) {
      for (const double x_scale : {1e-30, 1e-8, 1.0, 1e15}) {
        Neurons neurons = RandomNeurons(130, k, w_scale, x_scale);
        PutAtZero(neurons);
        tester.Check(neurons, "right at zero");
      }
    }
  }
}

TEST_F(CertifiedTest, KeepsPositiveNeuronsOfMixedMagnitude) {
  std::uniform_real_distribution<double> exponent(-44, 38);
  Tester tester(128, 64);
  for (int round = 0; round < 30; ++round) {
    Neurons neurons = RandomNeurons(128, 64, 1, 1);
    for (std::vector<float>* values : {&neurons.x, &neurons.weights, &neurons.bias}) {
      for (float& value : *values) {
        value = static_cast<float>(value * std::pow(10.0, exponent(random_)));
      }
    }
    tester.Check(neurons, "mixed magnitudes");
    PutAtZero(neurons);
    tester.Check(neurons, "mixed magnitudes at zero");
  }
}

TEST_F(CertifiedTest, KeepsPositiveNeuronsThatCancelOrOverflow) {
  Tester tester(64, 64);
  for (const float magnitude : {1e-20F, 1.0F, 1e18F, 3e38F}) {
    for (const float x_value : {1e-20F, 1.0F, 1e19F}) {
      Neurons neurons{std::vector<float>(64, x_value), std::vector<float>(64 * 64), std::vector<float>(64)};
      for (size_t i = 0; i < 64 * 64; ++i) {
        neurons.weights[i] =
            i / 64 % 2 == 0 ? (i % 2 == 0 ? magnitude : -magnitude) : (i % 64 < 31 ? magnitude : -magnitude);
      }
      for (size_t i = 0; i < 64; ++i) {
        neurons.bias[i] = static_cast<float>(static_cast<double>(i) - 32) * magnitude * 1e-7F;
      }
      tester.Check(neurons, "cancelling " + std::to_string(magnitude));
    }
  }
}

// The next four are built so that one part of the margin is all that keeps a neuron that is just positive.

// Int8 rounding errors e parallel to x: e.x = |e| |x|.
TEST_F(CertifiedTest, KeepsPositiveNeuronsWhereWeightErrorsAddUp) {
  constexpr size_t kK = 64;
  Tester tester(16, kK);
  std::uniform_int_distribution<int> level(-100, 100);
  for (const float w_scale : {0x1p-60F, 1.0F, 0x1p40F}) {
    for (const float x_scale : {0x1p-40F, 1.0F, 0x1p30F}) {
      Neurons neurons{std::vector<float>(kK), std::vector<float>(16 * kK), std::vector<float>(16, 0.0F)};
      for (size_t j = 0; j < kK; ++j) {
        neurons.x[j] = x_scale * static_cast<float>(j == 0 ? 32767 : 100 * level(random_));
      }
      for (size_t i = 0; i < 16; ++i) {
        for (size_t j = 0; j < kK; ++j) {
          const float error = j == 0 ? 0 : 0.45F * neurons.x[j] / (10000 * x_scale);
          neurons.weights[i * kK + j] = w_scale * (j == 0 ? 127 : static_cast<float>(level(random_)) + error);
        }
        neurons.bias[i] = static_cast<float>(-ExactSum(neurons, i) * (1 - 1e-5));
        neurons.bias[i] += 1e-4F * std::abs(neurons.bias[i]);
      }
      tester.Check(neurons, "weight errors along x");
    }
  }
}

// Rounding errors d of x parallel to w: w.d = |w| |d|, with weights that are exact in int8.
TEST_F(CertifiedTest, KeepsPositiveNeuronsWhereActivationErrorsAddUp) {
  constexpr size_t kK = 64;
  Tester tester(1, kK);
  std::uniform_int_distribution<int> level(-126, 126);
  for (const float w_scale : {0x1p-60F, 1.0F, 0x1p40F}) {
    for (const float x_scale : {0x1p-40F, 1.0F, 0x1p30F}) {
      Neurons neurons{std::vector<float>(kK), std::vector<float>(kK), {0.0F}};
      for (size_t j = 0; j < kK; ++j) {
        const auto q = static_cast<float>(j == 0 ? 0 : j == 1 ? 127 : level(random_));
        neurons.weights[j] = w_scale * q;
        neurons.x[j] = x_scale * (j == 0 ? 32767 : static_cast<float>(level(random_)) + 0.45F * q / 127);
      }
      neurons.bias[0] = static_cast<float>(-ExactSum(neurons, 0));
      neurons.bias[0] += 1e-4F * std::abs(neurons.bias[0]);
      tester.Check(neurons, "activation errors along w");
    }
  }
}

// A float kernel that adds in sequence loses each of many small negative products to a large sum.
TEST_F(CertifiedTest, KeepsNeuronsThatFloatRoundingMakesPositive) {
  constexpr size_t kK = 768;
  constexpr size_t kLarge = 100;
  const int levels = std::numeric_limits<int32_t>::max() / (128 * static_cast<int>(kK));
  Tester tester(1, kK);
  for (const float w_scale : {0x1p-60F, 1.0F, 0x1p40F}) {
    for (const float x_scale : {0x1p-40F, 1.0F, 0x1p30F}) {
      Neurons neurons{std::vector<float>(kK), std::vector<float>(kK), {0.0F}};
      for (size_t j = 0; j < kK; ++j) {
        neurons.weights[j] = w_scale * (j < kLarge ? 127 : -3);
        neurons.x[j] = x_scale * static_cast<float>(j < kLarge ? levels : 5);
      }
      neurons.bias[0] = std::nextafter(-FloatDot(neurons, 0, 1, false, true), kInfinity);
      EXPECT_LT(ExactSum(neurons, 0), 0);
      tester.Check(neurons, "float rounding");
    }
  }
}

// Products of three quarters of the least denormal are rounded up to it, each of them.
TEST_F(CertifiedTest, KeepsNeuronsThatUnderflowMakesPositive) {
  constexpr size_t kK = 768;
  Tester tester(1, kK);
  Neurons neurons{std::vector<float>(kK, 0x1p-75F), std::vector<float>(kK, 96 * 0x1p-81F), {0.0F}};
  neurons.x[0] = 0;
  neurons.weights[0] = 127 * 0x1p-80F;
  neurons.bias[0] = -FloatDot(neurons, 0, 1, false, true) + kDenormal;
  EXPECT_LT(ExactSum(neurons, 0), 0);
  tester.Check(neurons, "underflow");
}

// Partial sums that overflow to infinity, of sums that are far below zero.
TEST_F(CertifiedTest, KeepsNeuronsThatOverflowMakesPositive) {
  constexpr size_t kK = 64;
  Tester tester(1, kK);
  for (const size_t positive : {4, 8, 20}) {
    for (const float x_value : {0x1p47F, 0x1p49F, 0x1p100F}) {
      Neurons neurons{std::vector<float>(kK, x_value), std::vector<float>(kK, -0x1p76F), {-1.0F}};
      std::fill_n(neurons.weights.begin(), positive, 0x1p76F);
      tester.Check(neurons, "overflow");
    }
  }
}

TEST_F(CertifiedTest, HandlesZeros) {
  Tester tester(8, 24);
  Neurons neurons = RandomNeurons(8, 24, 1, 1);
  neurons.x.assign(24, 0.0F);
  neurons.bias = {0.0F, -0.0F, kDenormal, -kDenormal, 1e-38F, -1e-38F, 1.0F, -1.0F};
  for (const std::vector<bool>& flags : tester.Check(neurons, "x = 0")) {
    EXPECT_FALSE(flags[7]) << "x = 0 and a bias of -1 is certain";
  }
  neurons.x.assign(24, 1.0F);
  neurons.weights.assign(8 * 24, 0.0F);
  for (const std::vector<bool>& flags : tester.Check(neurons, "w = 0")) {
    EXPECT_FALSE(flags[7]) << "w = 0 and a bias of -1 is certain";
  }
}

TEST_F(CertifiedTest, KeepsEverythingThatIsNotFinite) {
  Tester tester(8, 40);
  for (const float bad : {kNaN, kInfinity, -kInfinity}) {
    for (const size_t at : {size_t{0}, size_t{17}, size_t{39}}) {
      Neurons neurons = RandomNeurons(8, 40, 1, 1);
      neurons.bias.assign(8, -1e6F);
      neurons.x[at] = bad;
      for (const std::vector<bool>& flags : tester.Check(neurons, "x not finite")) {
        EXPECT_EQ(flags, std::vector<bool>(8, true));
      }
      neurons.x[at] = 1;
      neurons.weights[3 * 40 + at] = bad;
      neurons.bias[5] = bad;
      for (const std::vector<bool>& flags : tester.Check(neurons, "w and bias not finite")) {
        EXPECT_EQ(flags, std::vector<bool>({false, false, false, true, false, true, false, false}));
      }
    }
  }
}

TEST_F(CertifiedTest, DropsNeuronsThatAreClearlyNegative) {
  Tester tester(512, 768);
  for (const double w_scale : {1e-10, 0.02, 1e10}) {
    for (const double x_scale : {1e-10, 1.0, 1e10}) {
      const Neurons neurons = RandomNeurons(512, 768, w_scale, x_scale);
      const double typical = w_scale * x_scale * std::sqrt(768.0);
      for (const std::vector<bool>& flags : tester.Check(neurons, "useful")) {
        int kept = 0;
        for (size_t i = 0; i < 512; ++i) {
          // The int8 rounding of normal weights is worth about 0.007 |w| |x| here, twice: in sum and in margin.
          kept += flags[i] && ExactSum(neurons, i) < -0.02 * typical * std::sqrt(768.0) ? 1 : 0;
        }
        EXPECT_EQ(kept, 0) << "clearly negative neurons kept at w " << w_scale << " x " << x_scale;
      }
    }
  }
}

}  // namespace
}  // namespace dejavu::testing
