// The quality contract on the demo's model: kept, restored by making layers dense, and broken.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <sstream>

#include "ir/base/FileUtil.h"
#include "ir/import/OnnxReader.h"
#include "ir/import/WeightTransforms.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"
#include "passes/manager/PipelineParser.h"
#include "tests/e2e/Compiled.h"
#include "tools/driver/Compile.h"
#include "tools/driver/Contract.h"
#include "tools/driver/ContractOutput.h"

namespace dejavu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// Makes the predictors of these layers of @decode test the weights of layer 1.
void Damage(Module& module, const std::vector<int64_t>& layers) {
  std::vector<Operation*> mlps;
  for (const auto& op : module.FindFunction("decode")->ops()) {
    if (op->Is("sparse.mlp") || op->Is("model.mlp")) {
      mlps.push_back(op.get());
    }
  }
  const std::vector<const Weight*> other = {mlps[1]->operand("fc1")->weight(), mlps[1]->operand("fc1_bias")->weight()};
  for (const int64_t layer : layers) {
    const Operation* mlp = mlps[static_cast<size_t>(layer)];
    if (mlp->Is("sparse.mlp")) {
      Operation* predictor = mlp->operand("active")->producer();
      predictor->SetOperand(1, AddDerivedWeight(module, "other.q8", "quantize", {other[0]})->value);
      predictor->SetOperand(2, AddDerivedWeight(module, "other.rows", "quantized_rows", other)->value);
    }
  }
}

class Contract : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(testing::TempDir(), "/contract-", getpid());
    std::filesystem::create_directory(folder_);
    std::string text;
    for (const char* room : {"ir", "passes", "runtime"}) {
      text += ReadTextFile(absl::StrCat(DEJAVU_SOURCE_DIR, "/", room, "/README.md")).value();
    }
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/text", text).ok());
    build_.threads = 1;
    build_.prices = Prices::kBytes;  // times are not for tests
    build_.compile = [this](const std::vector<size_t>& choices) { return Compile(choices); };
    bounds_.text = folder_ + "/text";
    bounds_.tokens = 1;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<std::string> Compile(const std::vector<size_t>& choices) {
    ++compiled_;
    const bool dense = choices == std::vector<size_t>{0};
    WeightStore store;
    ASSIGN_OR_RETURN(const std::unique_ptr<Module> module, ReadOnnx(kDemo + "/model.onnx", &store));
    std::string numbers;
    for (size_t layer = 0; layer < choices.size() && choices.size() > 1; ++layer) {
      if (choices[layer] == 0) {
        absl::StrAppend(&numbers, numbers.empty() ? "" : "+", layer);
      }
    }
    const std::string sparse = absl::StrCat("insert-predictors,drop-predictors{layers=", numbers, "},sparsify-mlp");
    std::ostringstream log;
    for (const std::string& text : {absl::StrCat("lift,phases,", dense ? "none" : sparse), std::string("schedule")}) {
      if (text == "schedule" && !dense) {
        Damage(*module, damaged_);
      }
      ASSIGN_OR_RETURN(const Pipeline pipeline, ParsePipeline(text));
      RETURN_IF_ERROR(RunPipeline(*module, store, pipeline, {}, log));
    }
    build_.layers = module->IntAttribute("layers");
    ArtifactOptions options;
    options.path = absl::StrCat(folder_, "/", compiled_, ".dejavu");
    options.tokenizer = kDemo;
    ASSIGN_OR_RETURN(options.targets, ParseTargets("cpu:" + BestIsa()));
    RETURN_IF_ERROR(WriteArtifact(*module, store, options));
    return options.path;
  }

  std::string folder_;
  ContractBounds bounds_;
  ContractBuild build_;
  std::vector<int64_t> damaged_;
  int compiled_ = 0;
};

TEST_F(Contract, IsKeptByExactSparsity) {
  bounds_.max_ppl_increase = 1e-4;
  bounds_.max_kl = 1e-6;
  const auto outcome = MeetContract(bounds_, build_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(compiled_, 2) << "nothing had to be tried";
  EXPECT_THAT(outcome->dense_layers, IsEmpty());
  EXPECT_TRUE(outcome->holds());
  EXPECT_EQ(outcome->terms.size(), 2U);
  EXPECT_EQ(outcome->tokens, 2048);
  EXPECT_LT(outcome->bytes_per_token, outcome->dense_bytes_per_token);
  const nlohmann::json json = ContractJson(*outcome, build_.prices);
  EXPECT_EQ(json["terms"]["max-kl"]["bound"], 1e-6);
  EXPECT_EQ(json["text"]["xxh3"].get<std::string>().size(), 16U);
  EXPECT_THAT(ContractTable(*outcome), HasSubstr("dense layers: none"));
}

TEST_F(Contract, MakesTheLayersDenseThatBreakIt) {
  damaged_ = {3};
  bounds_.max_ppl_increase = 0.001;
  const auto outcome = MeetContract(bounds_, build_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_THAT(outcome->dense_layers, ElementsAre(3));
  EXPECT_TRUE(outcome->holds());
  EXPECT_LT(outcome->bytes_per_token, outcome->dense_bytes_per_token);
}

TEST_F(Contract, BlamesLayersWhereDensitiesAreGiven) {
  damaged_ = {4};
  bounds_.max_kl = 1e-4;
  build_.fixed = true;
  const absl::Status status = MeetContract(bounds_, build_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--max-kl=0.0001: mean divergence, nats is "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("Layers to blame: 4 (100% of the divergence)"));
}

}  // namespace
}  // namespace dejavu
