// The gradients behind sensitivities, against finite differences of a decoder written out in double precision.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "ir/text/Parser.h"
#include "passes/sparsity/training/Sensitivity.h"

namespace dejavu {
namespace {

constexpr int64_t kHidden = 8;
constexpr int64_t kHeads = 2;
constexpr int64_t kDim = kHidden / kHeads;
constexpr int64_t kNeurons = 12;
constexpr int64_t kVocab = 11;
constexpr int64_t kLayers = 2;

using Matrix = std::vector<double>;

/// Random weights by name.
class RandomTensors : public TensorSource {
 public:
  absl::StatusOr<WeightData> Read(std::string_view tensor) const override {
    const std::vector<int64_t> dims = dims_.at(std::string(tensor));
    const Matrix values = Get(std::string(tensor));
    auto floats = std::make_shared<std::vector<float>>(values.begin(), values.end());
    const auto* bytes = reinterpret_cast<const std::byte*>(floats->data());
    return WeightData{DType::kF32, dims, floats, bytes, values.size() * sizeof(float)};
  }
  /// Adds the declaration of a weight and returns its name.
  void Declare(const std::string& name, std::vector<int64_t> dims, std::string* text) {
    absl::StrAppend(text, "  weight @", name, " : f32<", dims[0], dims.size() > 1 ? absl::StrCat(", ", dims[1]) : "",
                    "> = file(\"w\", \"", name, "\")\n");
    dims_[name] = std::move(dims);
  }
  /// The same values as floats.
  [[nodiscard]] Matrix Get(const std::string& name) const {
    const std::vector<int64_t>& dims = dims_.at(name);
    std::mt19937_64 random(std::hash<std::string>()(name));
    std::normal_distribution<float> normal;
    Matrix values(static_cast<size_t>(dims[0] * (dims.size() > 1 ? dims[1] : 1)));
    for (double& value : values) {
      value = normal(random) * 0.4F + (name.starts_with("g") ? 1.0F : 0.0F);
    }
    return values;
  }

 private:
  std::map<std::string, std::vector<int64_t>> dims_;
};

std::string Decoder(RandomTensors& tensors) {
  std::string weights;
  std::string ops;
  std::string caches;
  tensors.Declare("wte", {kVocab, kHidden}, &weights);
  tensors.Declare("wpe", {10, kHidden}, &weights);
  std::string x = "%e1";
  for (int64_t i = 0; i < kLayers; ++i) {
    for (const char* name : {"q", "k", "v", "o"}) {
      tensors.Declare(absl::StrCat(name, i), {kHidden, kHidden}, &weights);
      tensors.Declare(absl::StrCat("b", name, i), {kHidden}, &weights);
    }
    tensors.Declare(absl::StrCat("g", i), {kHidden}, &weights);
    tensors.Declare(absl::StrCat("beta", i), {kHidden}, &weights);
    tensors.Declare(absl::StrCat("fc1_", i), {kNeurons, kHidden}, &weights);
    tensors.Declare(absl::StrCat("b1_", i), {kNeurons}, &weights);
    tensors.Declare(absl::StrCat("fc2_", i), {kHidden, kNeurons}, &weights);
    absl::StrAppend(&caches, ", %kv", i, ": f32<2, 2, past, 4>");
    const std::string t = " : f32<tokens, 8>\n";
    absl::StrAppend(&ops, "    %n", i, " = model.layer_norm(", x, ", @g", i, ", @beta", i, ") {epsilon = 1e-05}", t);
    absl::StrAppend(&ops, "    %a", i, ", %c", i, " = model.attention(%n", i, ", @q", i, ", @bq", i, ", @k", i, ", @bk",
                    i, ", @v", i, ", @bv", i, ", @o", i, ", @bo", i, ", %kv", i,
                    ") {scale = 0.5} : f32<tokens, 8>, f32<2, 2, context, 4>\n");
    absl::StrAppend(&ops, "    %r", i, " = model.add(", x, ", %a", i, ")", t);
    absl::StrAppend(&ops, "    %m", i, " = model.mlp(%r", i, ", @fc1_", i, ", @b1_", i, ", @fc2_", i, ", none)", t);
    absl::StrAppend(&ops, "    %s", i, " = model.add(%r", i, ", %m", i, ")", t);
    x = absl::StrCat("%s", i);
  }
  return absl::StrCat("module @tiny at model {\n", weights, "  func @prefill(%tokens: i32<tokens>, %past: i64<>",
                      caches,
                      ") {\n    %e0 = model.embed_tokens(%tokens, @wte) : f32<tokens, 8>\n"
                      "    %e1 = model.embed_positions(%e0, %past, @wpe) {offset = 2} : f32<tokens, 8>\n",
                      ops, "    %last = model.last_token(", x, ") : f32<1, 8>\n",
                      "    %l = model.linear(%last, @wte) : f32<1, 11>\n    return %l as \"logits\"\n  }\n}\n");
}

/// What one head adds at one token is taken 1 + `by` times.
struct Scaled {
  int64_t layer = 0;
  int64_t head = 0;
  int64_t token = 0;
  double by = 0;
};

Matrix Apply(const Matrix& w, const Matrix* bias, const double* x, int64_t rows, int64_t columns) {
  Matrix y(static_cast<size_t>(rows));
  for (int64_t i = 0; i < rows; ++i) {
    y[i] = bias != nullptr ? (*bias)[i] : 0;
    for (int64_t j = 0; j < columns; ++j) {
      y[i] += w[i * columns + j] * x[j];
    }
  }
  return y;
}

/// Logarithms of the probabilities of all next tokens, (tokens, vocab); adds |c|^2 of the scaled head to `square`.
Matrix Forward(const RandomTensors& w, const std::vector<int32_t>& tokens, const Scaled& scaled, double* square) {
  const auto rows = static_cast<int64_t>(tokens.size());
  std::vector<Matrix> x;
  const Matrix wte = w.Get("wte");
  const Matrix wpe = w.Get("wpe");
  for (int64_t t = 0; t < rows; ++t) {
    x.emplace_back();
    for (int64_t j = 0; j < kHidden; ++j) {
      x.back().push_back(wte[tokens[t] * kHidden + j] + wpe[(t + 2) * kHidden + j]);
    }
  }
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const auto get = [&](const char* name) { return w.Get(absl::StrCat(name, layer)); };
    const Matrix bq = get("bq"), bk = get("bk"), bv = get("bv"), bo = get("bo"), b1 = get("b1_"), out = get("o");
    std::vector<Matrix> q, k, v;
    for (int64_t t = 0; t < rows; ++t) {
      double mean = 0;
      double variance = 0;
      for (const double value : x[t]) {
        mean += value / kHidden;
      }
      for (const double value : x[t]) {
        variance += (value - mean) * (value - mean) / kHidden;
      }
      Matrix n;
      for (int64_t j = 0; j < kHidden; ++j) {
        n.push_back((x[t][j] - mean) / std::sqrt(variance + 1e-5) * get("g")[j] + get("beta")[j]);
      }
      q.push_back(Apply(get("q"), &bq, n.data(), kHidden, kHidden));
      k.push_back(Apply(get("k"), &bk, n.data(), kHidden, kHidden));
      v.push_back(Apply(get("v"), &bv, n.data(), kHidden, kHidden));
    }
    for (int64_t t = 0; t < rows; ++t) {
      Matrix added = bo;
      for (int64_t head = 0; head < kHeads; ++head) {
        Matrix shares;
        double sum = 0;
        for (int64_t i = 0; i <= t; ++i) {
          double score = 0;
          for (int64_t j = head * kDim; j < (head + 1) * kDim; ++j) {
            score += 0.5 * q[t][j] * k[i][j];
          }
          shares.push_back(std::exp(score));
          sum += shares.back();
        }
        const bool this_one = layer == scaled.layer && head == scaled.head && t == scaled.token;
        for (int64_t r = 0; r < kHidden; ++r) {
          double c = 0;
          for (int64_t j = head * kDim; j < (head + 1) * kDim; ++j) {
            for (int64_t i = 0; i <= t; ++i) {
              c += out[r * kHidden + j] * shares[i] / sum * v[i][j];
            }
          }
          added[r] += this_one ? (1 + scaled.by) * c : c;
          *square += this_one ? c * c : 0;
        }
      }
      for (int64_t r = 0; r < kHidden; ++r) {
        x[t][r] += added[r];
      }
      Matrix h = Apply(get("fc1_"), &b1, x[t].data(), kNeurons, kHidden);
      for (double& value : h) {
        value = std::max(value, 0.0);
      }
      const Matrix y = Apply(get("fc2_"), nullptr, h.data(), kHidden, kNeurons);
      for (int64_t r = 0; r < kHidden; ++r) {
        x[t][r] += y[r];
      }
    }
  }
  Matrix logs;
  for (int64_t t = 0; t < rows; ++t) {
    const Matrix logits = Apply(wte, nullptr, x[t].data(), kVocab, kHidden);
    double sum = 0;
    for (const double value : logits) {
      sum += std::exp(value);
    }
    for (const double value : logits) {
      logs.push_back(value - std::log(sum));
    }
  }
  return logs;
}

/// The exact expectations: next tokens are drawn independently, and gradients of their logarithms have the mean 0.
double Expected(const RandomTensors& w, const std::vector<int32_t>& tokens, int64_t layer, int64_t head) {
  constexpr double kStep = 1e-4;
  double effects = 0;
  double squares = 0;
  for (int64_t t = 0; t < static_cast<int64_t>(tokens.size()); ++t) {
    double ignored = 0;
    const Matrix logs = Forward(w, tokens, {layer, head, t, 0}, &squares);
    const Matrix above = Forward(w, tokens, {layer, head, t, kStep}, &ignored);
    const Matrix below = Forward(w, tokens, {layer, head, t, -kStep}, &ignored);
    for (size_t i = 0; i < logs.size(); ++i) {
      const double slope = (above[i] - below[i]) / (2 * kStep);
      effects += std::exp(logs[i]) * slope * slope;
    }
  }
  return effects / squares;
}

class TinyDecoder : public testing::Test {
 protected:
  void SetUp() override {
    store_.Register("w", tensors_);
    const std::string text = Decoder(*tensors_);
    auto module = ParseModule(text, "tiny.dv");
    ASSERT_TRUE(module.ok()) << module.status() << text;
    module_ = *std::move(module);
  }

  std::shared_ptr<RandomTensors> tensors_ = std::make_shared<RandomTensors>();
  WeightStore store_;
  std::unique_ptr<Module> module_;
};

TEST_F(TinyDecoder, SensitivitiesAreThoseOfFiniteDifferences) {
  const std::vector<int32_t> tokens = {3, 7, 7, 0, 10};
  const std::vector<std::vector<int32_t>> windows(3000, tokens);  // what is drawn differs
  double done = 0;
  const auto measured = MeasureSensitivity(*module_->FindFunction("prefill"), store_, windows, 1, [&](double share) {
    done = share;
    return absl::OkStatus();
  });
  ASSERT_TRUE(measured.ok()) << measured.status();
  EXPECT_NEAR(done, 1, 1e-9);
  ASSERT_EQ(measured->size(), static_cast<size_t>(kLayers));
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    ASSERT_EQ((*measured)[layer].size(), static_cast<size_t>(kHeads));
    for (int64_t head = 0; head < kHeads; ++head) {
      const double expected = Expected(*tensors_, tokens, layer, head);
      EXPECT_NEAR((*measured)[layer][head] / expected, 1, 0.1) << "layer " << layer << ", head " << head;
    }
  }
}

TEST_F(TinyDecoder, DoesNotDependOnThreads) {
  const std::vector<std::vector<int32_t>> windows = {{1, 2, 3}, {4, 5}};
  const auto measure = [&](int threads) {
    return MeasureSensitivity(*module_->FindFunction("prefill"), store_, windows, threads,
                              [](double) { return absl::OkStatus(); })
        .value();
  };
  EXPECT_EQ(measure(1), measure(3));
}

TEST_F(TinyDecoder, RefusesWhatDoesNotFitAndStopsWhenAsked) {
  const Function& prefill = *module_->FindFunction("prefill");
  const auto fine = [](double) { return absl::OkStatus(); };
  const std::vector<std::vector<int32_t>> foreign = {{1, 11}};
  EXPECT_THAT(MeasureSensitivity(prefill, store_, foreign, 1, fine).status().message(),
              testing::HasSubstr("token 1 is 11, but the model knows 0 to 10"));
  const std::vector<std::vector<int32_t>> long_one = {std::vector<int32_t>(9, 1)};
  EXPECT_THAT(MeasureSensitivity(prefill, store_, long_one, 1, fine).status().message(),
              testing::HasSubstr("has 9 tokens, but the model has 8 positions"));
  const std::vector<std::vector<int32_t>> one = {{1}};
  EXPECT_TRUE(absl::IsCancelled(
      MeasureSensitivity(prefill, store_, one, 1, [](double) { return absl::CancelledError("stop"); }).status()));
}

}  // namespace
}  // namespace dejavu
