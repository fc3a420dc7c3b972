// Predictors chosen layer by layer under a contract, on the demo's model: the cheapest that hold, by text that does not
// judge, and none that a hostile text has trained.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <sstream>

#include "absl/strings/str_join.h"
#include "ir/base/FileUtil.h"
#include "ir/import/OnnxReader.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"
#include "tests/e2e/Compiled.h"
#include "tools/driver/Compile.h"
#include "tools/driver/Contract.h"
#include "tools/driver/ContractOutput.h"
#include "tools/driver/Profile.h"

namespace dejavu {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr size_t kLayers = 6;

class Allocation : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = absl::StrCat(testing::TempDir(), "/allocation-", getpid());
    std::filesystem::create_directory(folder_);
    for (const char* room : {"ir", "passes"}) {
      text_ += ReadTextFile(absl::StrCat(DEJAVU_SOURCE_DIR, "/", room, "/README.md")).value();
    }
    text_.resize(14000);
    build_.threads = 1;
    build_.prices = Prices::kBytes;
    build_.compile = [this](const std::vector<size_t>& choices) { return Compile(choices); };
    bounds_.tokens = 1;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<std::string> Compile(const std::vector<size_t>& choices) {
    WeightStore store;
    ASSIGN_OR_RETURN(const std::unique_ptr<Module> module, ReadOnnx(kDemo + "/model.onnx", &store));
    std::vector<std::string> words;
    std::vector<std::string> heads;
    for (size_t place = 0; place < 2 * kLayers; ++place) {
      const size_t choice = choices.size() == 1 ? choices[0] : (place < choices.size() ? choices[place] : 0);
      const std::string candidate = choice == 0 ? "none" : build_.candidates[choice - 1];
      const bool for_heads = candidate.starts_with(kHeadsFamily);
      const bool may_have = for_heads == (place >= kLayers);
      (place < kLayers ? words : heads)
          .push_back(!may_have   ? "none"
                     : for_heads ? candidate.substr(kHeadsFamily.size())
                                 : candidate);
    }
    ASSIGN_OR_RETURN(const Pipeline pipeline,
                     ParsePipeline(absl::StrCat(
                         "lift,phases,insert-predictors{plan=", absl::StrJoin(words, "+"),
                         profile_.empty() ? "" : ",profile=", profile_,
                         profile_.empty() ? "" : ",head-plan=", profile_.empty() ? "" : absl::StrJoin(heads, "+"),
                         "},sparsify-mlp,sparsify-attention{kv=", kv_, "},schedule")));
    std::ostringstream log;
    RETURN_IF_ERROR(RunPipeline(*module, store, pipeline, {}, log));
    build_.layers = module->IntAttribute("layers");
    ArtifactOptions options;
    options.path = absl::StrCat(folder_, "/", ++compiled_, ".dejavu");
    options.tokenizer = kDemo;
    ASSIGN_OR_RETURN(options.targets, ParseTargets("cpu:" + BestIsa()));
    RETURN_IF_ERROR(WriteArtifact(*module, store, options));
    return options.path;
  }

  absl::StatusOr<ContractOutcome> Meet(const std::string& text) {
    bounds_.text = absl::StrCat(folder_, "/text-", compiled_);
    RETURN_IF_ERROR(WriteFileAtomically(bounds_.text, text));
    return MeetContract(bounds_, build_);
  }

  std::string folder_;
  std::string text_;
  std::string profile_;
  std::string kv_ = "dense";
  ContractBounds bounds_;
  ContractBuild build_;
  int compiled_ = 0;
};

std::vector<std::string> ChoicesOf(const ContractOutcome& outcome) {
  std::vector<std::string> words;
  for (const AllocatedLayer& layer : outcome.layers) {
    words.push_back(layer.choice);
  }
  return words;
}

TEST_F(Allocation, ReadsLessThanTheSameForAllThatHolds) {
  build_.candidates = {"copy/2/32/0", "copy/4/64/1"};
  bounds_.max_kl = 0.01;
  const auto outcome = Meet(text_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(outcome->holds());
  EXPECT_THAT(outcome->dense_layers, IsEmpty());
  ASSERT_GE(outcome->tried.size(), 4U);
  const TriedArtifact& bold = outcome->tried[0];
  const TriedArtifact& careful = outcome->tried[1];
  EXPECT_GT(bold.kl, *bounds_.max_kl) << "would hold anyhow";
  EXPECT_LT(careful.kl, *bounds_.max_kl);
  EXPECT_LT(outcome->bytes_per_token, careful.bytes_per_token);
  // Prices are what was then read.
  ASSERT_EQ(outcome->layers.size(), kLayers);
  const nlohmann::json json = ContractJson(*outcome, build_.prices);
  EXPECT_EQ(json["allocation"]["prices"], "bytes");
  EXPECT_EQ(json["allocation"]["layers"].size(), kLayers);
  EXPECT_EQ(json["allocation"]["tried"].size(), outcome->tried.size());
  EXPECT_THAT(ContractTable(*outcome), HasSubstr("copy/2/32/0"));
}

TEST_F(Allocation, ChoosesByOtherTextThanJudges) {
  build_.candidates = {"copy/2/32/0", "copy/3/128/1"};
  bounds_.max_kl = 10;
  const auto outcome = Meet(text_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  std::string other = text_.substr(0, 6000);
  std::transform(text_.begin() + 6000, text_.end(), std::back_inserter(other),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto changed = Meet(other);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_EQ(outcome->choosing_tokens, 1024);
  EXPECT_NE(outcome->terms[0].measured.value, changed->terms[0].measured.value) << "the text that judges has changed";
  ASSERT_EQ(outcome->tried.size(), changed->tried.size());
  for (size_t i = 0; i < outcome->tried.size(); ++i) {
    EXPECT_EQ(outcome->tried[i].held_out, i + 1 == outcome->tried.size());
    EXPECT_TRUE(outcome->tried[i].held_out || outcome->tried[i].kl == changed->tried[i].kl) << i;
  }
  EXPECT_EQ(outcome->choices, changed->choices);
}

TEST_F(Allocation, ShipsNothingThatAHostileTextTrained) {
  std::string hostile;
  for (int i = 0; i < 3000; ++i) {
    hostile += " the";
  }
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/hostile", hostile).ok());
  profile_ = folder_ + "/profile";
  const auto profile = MakeProfile({.model = kDemo + "/model.onnx",
                                    .output = profile_,
                                    .text = folder_ + "/hostile",
                                    .tokenizer = kDemo,
                                    .max_tokens = 2048,
                                    .device = {.threads = 1}});
  ASSERT_TRUE(profile.ok()) << profile.status();
  bounds_.max_ppl_increase = 0.01;
  // With a way out, layers take that.
  build_.candidates = {"low-rank/0.99", "copy/4/64/1"};
  const auto outcome = Meet(text_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_GT(outcome->tried[0].ppl_increase, 1) << "the text is not hostile";
  EXPECT_TRUE(outcome->holds());
  EXPECT_THAT(ChoicesOf(*outcome), Not(testing::Contains("low-rank/0.99")));
  // Without one there are dense layers, or no artifact.
  build_.candidates = {"low-rank/0.99"};
  const auto alone = Meet(text_);
  if (alone.ok()) {
    EXPECT_TRUE(alone->holds());
    EXPECT_THAT(alone->dense_layers, Not(IsEmpty()));
  } else {
    EXPECT_THAT(std::string(alone.status().message()), HasSubstr("the contract leaves nothing to save"));
  }
}

TEST_F(Allocation, AttentionsChooseHeadsBesideWhatMlpsChoose) {
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/train", text_).ok());
  profile_ = folder_ + "/profile";
  kv_ = "lazy";
  const auto profile = MakeProfile({.model = kDemo + "/model.onnx",
                                    .output = profile_,
                                    .text = folder_ + "/train",
                                    .tokenizer = kDemo,
                                    .max_tokens = 2048,
                                    .device = {.threads = 1}});
  ASSERT_TRUE(profile.ok()) << profile.status();
  build_.candidates = {"copy/3/128/1", "heads/0.6", "heads/0.8"};
  bounds_.max_kl = 0.1;
  const auto outcome = Meet(text_);
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_TRUE(outcome->holds());
  ASSERT_EQ(outcome->choices.size(), 2 * kLayers);
  ASSERT_EQ(outcome->layers.size(), kLayers);
  // Both kinds are worth having here, and nothing tells the heads of the first layer.
  EXPECT_EQ(outcome->layers[0].heads, "dense");
  EXPECT_THAT(ChoicesOf(*outcome), Contains("copy/3/128/1"));
  std::vector<std::string> heads;
  for (const AllocatedLayer& layer : outcome->layers) {
    heads.push_back(layer.heads);
    // In bytes a price is what is read, but for what differs from text to text: rows of fc2, the length of a context,
    // and keys and values that a head catches up with.
    EXPECT_NEAR(layer.predicted_microseconds * kBytesPerMicrosecond, layer.bytes, 0.1 * layer.dense_bytes);
  }
  EXPECT_THAT(heads, Contains(StartsWith("heads/")));
  // Heads alone read less than all, and both together less than either.
  for (const TriedArtifact& tried : outcome->tried) {
    EXPECT_LT(tried.bytes_per_token, outcome->dense_bytes_per_token) << tried.name;
  }
  EXPECT_LT(outcome->bytes_per_token, outcome->tried[0].bytes_per_token);
  EXPECT_EQ(ContractJson(*outcome, build_.prices)["allocation"]["layers"][0]["heads"], "dense");
  EXPECT_THAT(ContractTable(*outcome), HasSubstr("of heads"));
}

}  // namespace
}  // namespace dejavu
