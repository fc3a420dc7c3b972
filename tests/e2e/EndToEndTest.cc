// From a model file through every pass, compiled kernels and the runtime to logits, against PyTorch's and
// onnxruntime's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "codegen/cpu/CpuTarget.h"
#include "ir/import/OnnxReader.h"
#include "passes/manager/Equivalence.h"
#include "tests/e2e/Compiled.h"
#include "tests/support/Npz.h"
#include "tests/support/SharedModels.h"

namespace dejavu {
namespace {

std::vector<int32_t> Row(const Tensor& ids, int64_t row) {
  const int64_t width = ids.dims.back();
  return {ids.ints.begin() + row * width, ids.ints.begin() + (row + 1) * width};
}

/// Decodes each row of `ids` and compares with `logits` (rows, tokens, vocab); then prefills it.
void CheckRows(Session& session, const Tensor& ids, const Tensor& logits, double tolerance) {
  const int64_t tokens = ids.dims[1];
  const int64_t vocab = logits.dims[2];
  for (int64_t row = 0; row < ids.dims[0]; ++row) {
    session.Reset();
    const std::vector<int32_t> sequence = Row(ids, row);
    for (int64_t t = 0; t < tokens; ++t) {
      const auto actual = session.Decode(sequence[t]);
      ASSERT_TRUE(actual.ok()) << actual.status();
      EXPECT_LT(RelativeError(*actual, &logits.floats[(row * tokens + t) * vocab]), tolerance) << "token " << t;
    }
    session.Reset();
    const auto last = session.Prefill(sequence);
    ASSERT_TRUE(last.ok()) << last.status();
    EXPECT_LT(RelativeError(*last, &logits.floats[((row + 1) * tokens - 1) * vocab]), tolerance) << "prefill";
  }
}

/// Decodes the trained models' text: PyTorch's best token everywhere, and its logits at the last positions.
void CheckText(Session& session, const std::map<std::string, Tensor>& arrays) {
  const Tensor& last = arrays.at("text_last_logits");
  const std::vector<int64_t>& ids = arrays.at("text_ids").ints;
  const auto vocab = static_cast<size_t>(last.dims[1]);
  const size_t first = ids.size() - static_cast<size_t>(last.dims[0]);
  std::vector<float> logits;
  session.Reset();
  for (size_t t = 0; t < ids.size(); ++t) {
    const auto actual = session.Decode(static_cast<int32_t>(ids[t]));
    ASSERT_TRUE(actual.ok()) << actual.status();
    const auto best = std::max_element(actual->begin(), actual->end()) - actual->begin();
    EXPECT_EQ(best, arrays.at("text_argmax").ints[t]) << "token " << t;
    if (t >= first) {
      logits.insert(logits.end(), actual->begin(), actual->end());
    }
  }
  ASSERT_EQ(logits.size(), vocab * (ids.size() - first));
  EXPECT_LT(RelativeError(logits, last.floats.data()), 1e-4);
}

/// For a graph whose stored outputs follow a past that no runtime call can give: the interpreter, which agrees with
/// those outputs (OnnxModelsTest), evaluates the same graph without a past.
void CheckAgainstInterpreter(Session& session, const std::string& model) {
  WeightStore store;
  const auto module = ReadOnnx(absl::StrCat(kModels, model, ".onnx"), &store);
  ASSERT_TRUE(module.ok()) << module.status();
  const std::vector<int64_t> tokens = {2, 17, 99, 4, 127, 0, 56, 31};
  const auto expected = InterpretLogits(**module, store, tokens);
  ASSERT_TRUE(expected.ok()) << expected.status();
  const auto last = session.Prefill(std::vector<int32_t>(tokens.begin(), tokens.end()));
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_LT(RelativeError(*last, expected->front().data()), 1e-5) << "prefill";
  session.Reset();
  for (size_t t = 0; t < tokens.size(); ++t) {
    const auto actual = session.Decode(static_cast<int32_t>(tokens[t]));
    ASSERT_TRUE(actual.ok()) << actual.status();
    if (t + 1 == tokens.size()) {
      EXPECT_LT(RelativeError(*actual, expected->front().data()), 1e-5) << "decode";
    }
  }
}

std::vector<std::string> OnnxModels() {
  std::vector<std::string> names;
  for (const std::string folder : {"onnx-opsets", "onnx-random"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kModels + folder)) {
      if (entry.path().extension() == ".onnx") {
        names.push_back(absl::StrCat(folder, "/", entry.path().stem().string()));
      }
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct EndToEndCase {
  std::string model;
  std::string sparsity;
};

std::vector<EndToEndCase> Cases() {
  std::vector<EndToEndCase> cases;
  for (const std::string& model : OnnxModels()) {
    cases.push_back({model, "none"});
    cases.push_back({model, "exact"});
  }
  return cases;
}

std::string CaseName(const testing::TestParamInfo<EndToEndCase>& info) {
  std::string name = absl::StrCat(info.param.model, "_", info.param.sparsity);
  std::replace_if(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

class EndToEnd : public testing::TestWithParam<EndToEndCase> {};

TEST_P(EndToEnd, CompiledLogitsAreOnnxruntimes) {
  const auto arrays = ReadNpz(absl::StrCat(kModels, GetParam().model, ".npz"));
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  const Compiled compiled(absl::StrCat(kModels, GetParam().model, ".onnx"), GetParam().sparsity, BestIsa(),
                          CaseName({GetParam(), 0}));
  ASSERT_NE(compiled.session(), nullptr);
  ASSERT_TRUE(arrays->contains("input_ids") && arrays->contains("logits"));
  const bool half = arrays->at("logits").dtype != DType::kF32;
  const bool has_past = std::any_of(arrays->begin(), arrays->end(),
                                    [](const auto& entry) { return entry.first.starts_with("past_key_values"); });
  if (has_past) {
    CheckAgainstInterpreter(*compiled.session(), GetParam().model);
    return;
  }
  CheckRows(*compiled.session(), arrays->at("input_ids"), arrays->at("logits"), half ? 5e-3 : 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Models, EndToEnd, testing::ValuesIn(Cases()), CaseName);

class Demo : public testing::TestWithParam<std::string> {};

TEST_P(Demo, LogitsArePyTorchsOnEveryInstructionSet) {
  const auto arrays = ReadNpz(kModels + "opt-demo-7m/expected.npz");
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  for (const CpuTarget& isa : CpuTargets()) {
    if (!HostRuns(isa)) {
      continue;
    }
    SCOPED_TRACE(isa.name);
    const Compiled compiled(kModels + "opt-demo-7m/model.onnx", GetParam(), std::string(isa.name),
                            absl::StrCat("demo-", GetParam()));
    ASSERT_NE(compiled.session(), nullptr);
    CheckRows(*compiled.session(), arrays->at("input_ids"), arrays->at("logits"), 1e-4);
    CheckText(*compiled.session(), *arrays);
  }
}

INSTANTIATE_TEST_SUITE_P(Sparsity, Demo, testing::Values("none", "exact"), [](const auto& test) { return test.param; });

TEST(Exact, GivesTheTokensOfDenseDecoding) {
  const std::string model = kModels + "opt-demo-7m/model.onnx";
  const Compiled dense(model, "none", BestIsa(), "tokens-none");
  const Compiled exact(model, "exact", BestIsa(), "tokens-exact", /*threads=*/1);
  ASSERT_TRUE(dense.session() != nullptr && exact.session() != nullptr);
  int32_t token = 2;
  for (int step = 0; step < 200; ++step) {
    const auto a = dense.session()->Decode(token);
    const auto b = exact.session()->Decode(token);
    ASSERT_TRUE(a.ok() && b.ok());
    const auto best = std::max_element(a->begin(), a->end());
    const auto same = b->begin() + (best - a->begin());
    EXPECT_GE(*same + 1e-3F, *std::max_element(b->begin(), b->end())) << "step " << step;
    token = static_cast<int32_t>(best - a->begin());
  }
}

TEST(Copy, StaysNearDenseDecoding) {
  const std::string model = kModels + "opt-demo-7m/model.onnx";
  const Compiled dense(model, "none", BestIsa(), "copy-none", /*threads=*/1);
  const Compiled copy(model, "predicted", BestIsa(), "copy-predicted", /*threads=*/1);
  ASSERT_TRUE(dense.session() != nullptr && copy.session() != nullptr);
  int same = 0;
  constexpr int kTokens = 100;
  for (int i = 0; i < kTokens; ++i) {
    const auto token = static_cast<int32_t>(17 + 31 * i % 1000);
    const auto a = dense.session()->Decode(token);
    const auto b = copy.session()->Decode(token);
    ASSERT_TRUE(a.ok() && b.ok());
    same += std::max_element(a->begin(), a->end()) - a->begin() == std::max_element(b->begin(), b->end()) - b->begin();
  }
  EXPECT_GE(same, kTokens - 5);
}

TEST(Threads, DoNotChangeALogit) {
  const std::string model = kModels + "opt-demo-7m/model.onnx";
  const Compiled one(model, "exact", BestIsa(), "threads-1", 1);
  const Compiled three(model, "exact", BestIsa(), "threads-3", 3);
  ASSERT_TRUE(one.session() != nullptr && three.session() != nullptr);
  for (int32_t token : {2, 100, 4000, 8191, 0, 77}) {
    const auto a = one.session()->Decode(token);
    const auto b = three.session()->Decode(token);
    ASSERT_TRUE(a.ok() && b.ok());
    EXPECT_TRUE(std::equal(a->begin(), a->end(), b->begin())) << "token " << token;
  }
}

TEST(ReferenceModel, LogitsArePyTorchs) {
  const SharedModel model("opt-ref-92m");
  if (!model.missing().empty()) {
    GTEST_SKIP() << model.missing();
  }
  const auto arrays = ReadNpz(model.path() + "/expected.npz");
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  for (const std::string sparsity : {"none", "exact"}) {
    SCOPED_TRACE(sparsity);
    const Compiled compiled(model.path(), sparsity, BestIsa(), "ref-" + sparsity);
    ASSERT_NE(compiled.session(), nullptr);
    CheckRows(*compiled.session(), arrays->at("input_ids"), arrays->at("logits"), 1e-4);
    CheckText(*compiled.session(), *arrays);
  }
}

}  // namespace
}  // namespace dejavu
