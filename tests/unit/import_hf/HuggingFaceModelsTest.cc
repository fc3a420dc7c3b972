// Checkpoints that transformers wrote, on the interpreter, against the logits that transformers computes.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "ir/import/HuggingFaceReader.h"
#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "ir/verify/Verifier.h"
#include "passes/manager/Equivalence.h"
#include "passes/manager/PassManager.h"
#include "tests/support/Npz.h"
#include "tests/support/SharedModels.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

const std::string kRandomModels = DEJAVU_SOURCE_DIR "/tests/models/hf-random";

std::vector<std::string> RandomModels() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kRandomModels)) {
    if (entry.is_directory()) {
      names.push_back(entry.path().filename());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

/// Row `row` of `input_ids` up to `length` tokens, and the logits that follow its last token.
struct Expected {
  std::vector<int64_t> tokens;
  std::vector<double> logits;
};

Expected Prefix(const std::map<std::string, Tensor>& arrays, int64_t row, int64_t length) {
  const Tensor& ids = arrays.at("input_ids");
  const Tensor& logits = arrays.at("logits");
  const auto first = ids.ints.begin() + row * ids.dims[1];
  const auto last = logits.floats.begin() + (row * ids.dims[1] + length) * logits.dims[2];
  return {{first, first + length}, {last - logits.dims[2], last}};
}

/// Every path of `module` from `expected`'s tokens to its logits.
void ExpectLogits(const Module& module, WeightStore& weights, const Expected& expected, double bound) {
  const auto paths = InterpretLogits(module, weights, expected.tokens);
  ASSERT_TRUE(paths.ok()) << paths.status();
  for (const std::vector<double>& logits : *paths) {
    EXPECT_LT(RelativeError(logits, expected.logits), bound) << expected.tokens.size() << " tokens";
  }
}

class HuggingFaceModels : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto module = ReadHuggingFace(folder_, &weights_);
    ASSERT_TRUE(module.ok()) << module.status();
    module_ = *std::move(module);
    auto arrays = ReadNpz(folder_ + "/expected.npz");
    ASSERT_TRUE(arrays.ok()) << arrays.status();
    arrays_ = *std::move(arrays);
  }

  const std::string folder_ = kRandomModels + "/" + GetParam();
  WeightStore weights_;
  std::unique_ptr<Module> module_;
  std::map<std::string, Tensor> arrays_;
};

// The expected logits are computed in float64 from the stored weights, so that only the order of sums differs.
constexpr double kRandomBound = 1e-10;

TEST_P(HuggingFaceModels, ComputeTheirLogitsAtEachPosition) {
  for (int64_t row = 0; row < arrays_.at("input_ids").dims[0]; ++row) {
    for (int64_t length = 1; length <= arrays_.at("input_ids").dims[1]; ++length) {
      ExpectLogits(*module_, weights_, Prefix(arrays_, row, length), kRandomBound);
    }
  }
}

TEST_P(HuggingFaceModels, ComputeTheirLogitsInPhases) {
  const auto pipeline = ParsePipeline("phases");
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  const absl::Status status = RunPipeline(*module_, weights_, *pipeline, {}, std::cerr);
  ASSERT_TRUE(status.ok()) << status;
  ExpectLogits(*module_, weights_, Prefix(arrays_, 1, arrays_.at("input_ids").dims[1]), kRandomBound);
}

TEST_P(HuggingFaceModels, VerifyAndRoundTripAsText) {
  EXPECT_TRUE(VerifyModule(*module_).ok()) << VerifyModule(*module_);
  EXPECT_EQ(module_->name(), GetParam());
  const std::string text = PrintModule(*module_);
  const auto parsed = ParseModule(text, "printed.dv");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(PrintModule(**parsed), text);
  // The text alone leads back to the weights.
  WeightStore fresh;
  ExpectLogits(**parsed, fresh, Prefix(arrays_, 0, 3), kRandomBound);
}

INSTANTIATE_TEST_SUITE_P(Random, HuggingFaceModels, testing::ValuesIn(RandomModels()), TestName);

/// Trained models, which are too large for the project.
class TrainedModels : public testing::TestWithParam<std::string> {};

TEST_P(TrainedModels, ComputeTheirLogits) {
  const SharedModel model(GetParam());
  if (!model.missing().empty()) {
    GTEST_SKIP() << model.missing();
  }
  WeightStore weights;
  const auto module = ReadHuggingFace(model.path(), &weights);
  ASSERT_TRUE(module.ok()) << module.status();
  const auto arrays = ReadNpz(model.path() + "/expected.npz");
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  ExpectLogits(**module, weights, Prefix(*arrays, 0, 8), 1e-4);
  ExpectLogits(**module, weights, Prefix(*arrays, 1, 5), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Shared, TrainedModels, testing::Values("opt-demo-7m", "opt-ref-92m"), TestName);

}  // namespace
}  // namespace dejavu
