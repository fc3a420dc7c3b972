// Imports real exporters' files and evaluates them on the interpreter against the outputs kept beside them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ir/import/OnnxReader.h"
#include "ir/interp/Interpreter.h"
#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "ir/verify/Verifier.h"
#include "tests/support/Npz.h"

namespace dejavu {
namespace {

const char* const kModels = DEJAVU_SOURCE_DIR "/tests/models/";

/// "onnx-random/opt-dynamo-sdpa" and so on: each has an .onnx file and an .npz with inputs and logits.
std::vector<std::string> ModelsWithLogits() {
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

std::string OnnxPath(const std::string& name) { return absl::StrCat(kModels, name, ".onnx"); }

/// The largest difference relative to the largest expected value.
double RelativeError(const Tensor& actual, const Tensor& expected) {
  double largest = 0;
  double difference = 0;
  for (size_t i = 0; i < expected.floats.size(); ++i) {
    largest = std::max(largest, std::fabs(expected.floats[i]));
    difference = std::max(difference, std::fabs(actual.floats[i] - expected.floats[i]));
  }
  return difference / largest;
}

class OnnxModels : public testing::TestWithParam<std::string> {};

TEST_P(OnnxModels, ComputeTheirLogits) {
  WeightStore weights;
  const auto module = ReadOnnx(OnnxPath(GetParam()), &weights);
  ASSERT_TRUE(module.ok()) << module.status();
  const auto arrays = ReadNpz(absl::StrCat(kModels, GetParam(), ".npz"));
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  const Function& main = *(*module)->functions()[0];
  std::vector<Tensor> arguments;
  for (size_t i = 0; i < main.num_arguments(); ++i) {
    ASSERT_TRUE(arrays->contains(main.argument(i)->name())) << main.argument(i)->name();
    arguments.push_back(arrays->at(main.argument(i)->name()));
  }
  // The logits of a model of halves were computed in f32 from its halves; some of its constants are rounded to halves.
  const bool halves = main.returns()[0]->type().dtype != DType::kF32;
  const auto results = Interpreter(**module, &weights, {.round = !halves}).Run(main, std::move(arguments));
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(main.return_names()[0], "logits");
  ASSERT_EQ((*results)[0].dims, arrays->at("logits").dims);
  EXPECT_LT(RelativeError((*results)[0], arrays->at("logits")), halves ? 1e-3 : 1e-5);
}

TEST_P(OnnxModels, VerifyAndRoundTripAsText) {
  WeightStore weights;
  const auto module = ReadOnnx(OnnxPath(GetParam()), &weights);
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_TRUE(VerifyModule(**module).ok()) << VerifyModule(**module);
  const std::string text = PrintModule(**module);
  const auto parsed = ParseModule(text, "printed.dv");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(PrintModule(**parsed), text);
}

TEST_P(OnnxModels, TruncatedFilesAreErrors) {
  WeightStore weights;
  const std::string path =
      testing::TempDir() + "/truncated-" + std::filesystem::path(GetParam()).filename().string() + ".onnx";
  const auto size = static_cast<int64_t>(std::filesystem::file_size(OnnxPath(GetParam())));
  for (const int64_t kept : {size - 1, size / 2, size / 3, int64_t{100}, int64_t{1}}) {
    std::filesystem::copy_file(OnnxPath(GetParam()), path, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(path, static_cast<uintmax_t>(kept));
    const auto module = ReadOnnx(path, &weights);
    ASSERT_FALSE(module.ok()) << kept << " bytes";
    EXPECT_EQ(module.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(module.status().message()), testing::StartsWith(path));
  }
  std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(Exported, OnnxModels, testing::ValuesIn(ModelsWithLogits()), [](const auto& test) {
  std::string name = test.param.substr(test.param.find('/') + 1);
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(OnnxDemoModel, ComputesItsLogits) {
  WeightStore weights;
  const auto module = ReadOnnx(absl::StrCat(kModels, "opt-demo-7m/model.onnx"), &weights);
  ASSERT_TRUE(module.ok()) << module.status();
  const auto arrays = ReadNpz(DEJAVU_SOURCE_DIR "/tests/unit/import/opt-demo-7m-logits.npz");
  ASSERT_TRUE(arrays.ok()) << arrays.status();
  const Tensor& ids = arrays->at("input_ids");
  Tensor mask = ids;
  std::fill(mask.ints.begin(), mask.ints.end(), 1);
  // The weights are f16; the expected logits were computed in f32, so nothing is rounded to f16 in between.
  Interpreter interpreter(**module, &weights, {.round = false});
  const auto results = interpreter.Run(*(*module)->functions()[0], {ids, mask});
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ((*results)[0].dims, arrays->at("logits").dims);
  EXPECT_LT(RelativeError((*results)[0], arrays->at("logits")), 1e-4);
}

}  // namespace
}  // namespace dejavu
