// How folders of checkpoints may look.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "ir/base/Hash.h"
#include "ir/import/HuggingFaceReader.h"
#include "passes/manager/Equivalence.h"
#include "tests/unit/import_hf/Checkpoint.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

/// The logits of the model in `folder` after a few tokens.
std::vector<double> LogitsOf(const std::string& folder) {
  WeightStore weights;
  const auto module = ReadHuggingFace(folder, &weights);
  EXPECT_TRUE(module.ok()) << module.status();
  if (!module.ok()) {
    return {};
  }
  const auto logits = InterpretLogits(**module, weights, {2, 7, 3});
  EXPECT_TRUE(logits.ok()) << logits.status();
  return logits.ok() ? (*logits)[0] : std::vector<double>();
}

TEST(HuggingFaceReader, WeightsAreReferencesToTheFile) {
  const OptConfig config = SmallConfig();
  const Checkpoint checkpoint(config, "model.decoder.", DType::kBF16);
  checkpoint.Write();
  WeightStore weights;
  const auto module = ReadHuggingFace(checkpoint.path(), &weights);
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_EQ((*module)->name(), fs::path(checkpoint.path()).filename());
  EXPECT_EQ(std::get<std::string>((*module)->attributes().at("dtype")), "bf16");
  const Weight* weight = (*module)->FindWeight("layers.1.fc2.bias");
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->type, (Type{DType::kBF16, {config.hidden}}));
  EXPECT_EQ(weight->file, checkpoint.folder().File("model.safetensors"));
  EXPECT_EQ(weight->tensor, "model.decoder.layers.1.fc2.bias");
  const auto data = weights.Read(*weight);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(weight->hash, HashText(Hash64({data->data, data->bytes})));
}

TEST(HuggingFaceReader, FactsComeFromTheConfig) {
  OptConfig config = SmallConfig();
  config.bos = 5;
  config.eos = 6;
  const Checkpoint checkpoint(config);
  checkpoint.Write();
  WeightStore weights;
  const auto module = ReadHuggingFace(checkpoint.path() + "/", &weights);
  ASSERT_TRUE(module.ok()) << module.status();
  const AttributeMap expected = {
      {"hidden", config.hidden},     {"layers", config.layers}, {"heads", config.heads},
      {"ffn", config.ffn},           {"vocab", config.vocab},   {"positions", config.positions},
      {"dtype", std::string("f32")}, {"bos", config.bos},       {"eos", config.eos}};
  EXPECT_EQ((*module)->attributes(), expected);
  EXPECT_EQ((*module)->name(), fs::path(checkpoint.path()).filename());
}

/// Prefixes of the decoder's tensors as files have had them over time.
TEST(HuggingFaceReader, PrefixesDoNotMatter) {
  for (const std::string prefix : {"model.decoder.", "decoder.", ""}) {
    SCOPED_TRACE(prefix);
    const Checkpoint checkpoint(SmallConfig(), prefix);
    checkpoint.Write();
    WeightStore weights;
    const auto module = ReadHuggingFace(checkpoint.path(), &weights);
    ASSERT_TRUE(module.ok()) << module.status();
    EXPECT_NE((*module)->FindWeight("layers.0.fc1.weight"), nullptr);
    EXPECT_EQ((*module)->FindFunction("forward")->ops().front()->location().node, prefix + "embed_tokens");
  }
}

TEST(HuggingFaceReader, ShardsComputeTheSame) {
  Checkpoint checkpoint;
  checkpoint.Write();
  const std::vector<double> expected = LogitsOf(checkpoint.path());
  Checkpoint sharded;
  sharded.Shard();
  sharded.Write();
  EXPECT_EQ(LogitsOf(sharded.path()), expected);
  EXPECT_EQ(expected.size(), 11U);
}

TEST(HuggingFaceReader, TheSingleFileWinsOverAnIndex) {
  Checkpoint checkpoint;
  checkpoint.index = {{"weight_map", {{"a", "gone.safetensors"}}}};
  checkpoint.Write();
  EXPECT_EQ(LogitsOf(checkpoint.path()).size(), 11U);
}

/// Hugging Face's cache keeps files under their hashes and links to them.
TEST(HuggingFaceReader, FilesMayBeLinks) {
  const Checkpoint blobs;
  blobs.Write();
  const TempFolder snapshot;
  for (const char* file : {"config.json", "model.safetensors"}) {
    fs::create_symlink(blobs.folder().File(file), snapshot.File(file));
  }
  EXPECT_EQ(LogitsOf(snapshot.path()), LogitsOf(blobs.path()));
}

TEST(HuggingFaceReader, OtherTensorsAreIgnored) {
  Checkpoint checkpoint;
  checkpoint.tensors()["decoder.version"] = {DType::kF32, {1}};
  checkpoint.tensors()["score.weight"] = {DType::kI8, {3}};
  checkpoint.Write();
  EXPECT_EQ(LogitsOf(checkpoint.path()).size(), 11U);
}

TEST(HuggingFaceReader, ATiedModelIgnoresItsStoredHead) {
  Checkpoint checkpoint;
  checkpoint.Write();
  const std::vector<double> expected = LogitsOf(checkpoint.path());
  checkpoint.tensors()["lm_head.weight"] = {DType::kF32, {11, 16}};
  checkpoint.Write();
  EXPECT_EQ(LogitsOf(checkpoint.path()), expected);
  checkpoint.config["tie_word_embeddings"] = false;
  checkpoint.Write();
  EXPECT_NE(LogitsOf(checkpoint.path()), expected);
}

}  // namespace
}  // namespace dejavu
