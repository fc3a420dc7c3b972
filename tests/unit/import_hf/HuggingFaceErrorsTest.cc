// Folders that are refused: one message each, naming the file and the tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "absl/strings/str_replace.h"
#include "ir/import/HuggingFaceReader.h"
#include "tests/unit/import_hf/Checkpoint.h"

namespace dejavu {
namespace {

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kFirst = "model-00001-of-00002.safetensors";
constexpr const char* kSecond = "model-00002-of-00002.safetensors";

struct Case {
  const char* name;
  std::function<void(Checkpoint&)> spoil;
  const char* message;  // $ stands for the folder
  std::function<void(const Checkpoint&)> after = nullptr;
};

class BadFolders : public testing::TestWithParam<Case> {};

TEST_P(BadFolders, GiveOneError) {
  Checkpoint checkpoint;
  GetParam().spoil(checkpoint);
  checkpoint.Write();
  if (GetParam().after) {
    GetParam().after(checkpoint);
  }
  WeightStore weights;
  const auto module = ReadHuggingFace(checkpoint.path(), &weights);
  ASSERT_FALSE(module.ok());
  EXPECT_EQ(ExitCode(module.status()), 1);
  EXPECT_EQ(module.status().message(), absl::StrReplaceAll(GetParam().message, {{"$", checkpoint.path()}}));
}

void Nothing(Checkpoint& /*checkpoint*/) {}
void Sharded(Checkpoint& checkpoint) { checkpoint.Shard(); }

/// An index that gives tensor "x" the file `file`.
std::function<void(Checkpoint&)> IndexTo(const nlohmann::json& file) {
  return [file](Checkpoint& checkpoint) {
    checkpoint.files.clear();
    checkpoint.index["weight_map"]["x"] = file;
  };
}

std::function<void(const Checkpoint&)> Remove(const std::string& file) {
  return [file](const Checkpoint& checkpoint) { std::filesystem::remove(checkpoint.folder().File(file)); };
}

std::function<void(const Checkpoint&)> Truncate(const std::string& file) {
  return [file](const Checkpoint& checkpoint) { std::filesystem::resize_file(checkpoint.folder().File(file), 4); };
}

const Case kMissing[] = {
    {"NoConfig", &Nothing, "$: has no config.json; expected the folder of a Hugging Face OPT checkpoint",
     Remove("config.json")},
    {"NoWeights", &Nothing,
     "$: has neither model.safetensors nor model.safetensors.index.json; expected the folder of a Hugging Face OPT "
     "checkpoint",
     Remove("model.safetensors")},
    {"OnlyBin", [](Checkpoint& c) { c.files.clear(); },
     "$: has its weights in pytorch_model*.bin, which can run code when it is read; convert it: tools/convert-bin.py $",
     [](const Checkpoint& c) { WriteBytes(c.folder().File("pytorch_model.bin"), "x"); }},
    {"OnlyShardedBin", [](Checkpoint& c) { c.files.clear(); },
     "$: has its weights in pytorch_model*.bin, which can run code when it is read; convert it: tools/convert-bin.py $",
     [](const Checkpoint& c) { WriteBytes(c.folder().File("pytorch_model.bin.index.json"), "{}"); }},
    {"NoTensor", [](Checkpoint& c) { c.tensors().erase("model.decoder.layers.1.fc1.weight"); },
     "$/model.safetensors: has no tensor 'model.decoder.layers.1.fc1.weight', which an OPT of this config.json has"},
    {"NoTensorInShards",
     [](Checkpoint& c) {
       c.Shard();
       c.files.at(kSecond).erase("model.decoder.layers.1.fc1.weight");
       c.index["weight_map"].erase("model.decoder.layers.1.fc1.weight");
     },
     "$/model.safetensors.index.json: has no tensor 'model.decoder.layers.1.fc1.weight', which an OPT of this "
     "config.json has"},
    {"NoHead", [](Checkpoint& c) { c.config["tie_word_embeddings"] = false; },
     "$/model.safetensors: has no tensor 'lm_head.weight', which an OPT of this config.json has"},
    {"AnotherModelsTensors",
     [](Checkpoint& c) { c.files["model.safetensors"] = {{"transformer.wte.weight", {DType::kF32, {4}}}}; },
     "$/model.safetensors: has no tensor 'embed_tokens.weight', which an OPT of this config.json has"},
    {"NoShard", &Sharded,
     "$/model-00002-of-00002.safetensors: is missing, but model.safetensors.index.json names it; download it too",
     Remove(kSecond)},
    {"TensorNotInItsShard",
     [](Checkpoint& c) {
       c.Shard();
       c.files.at(kSecond).erase("model.decoder.layers.1.fc1.weight");
     },
     "$/model-00002-of-00002.safetensors: has no tensor 'model.decoder.layers.1.fc1.weight', but by "
     "model.safetensors.index.json it should"},
    {"TensorInAnotherShard",
     [](Checkpoint& c) {
       c.Shard();
       c.index["weight_map"]["model.decoder.layers.1.fc1.weight"] = kFirst;
     },
     "$/model-00001-of-00002.safetensors: has no tensor 'model.decoder.layers.1.fc1.weight', but by "
     "model.safetensors.index.json it should"},
};

INSTANTIATE_TEST_SUITE_P(Missing, BadFolders, testing::ValuesIn(kMissing),
                         [](const auto& test) { return test.param.name; });

const Case kWrong[] = {
    {"Shape", [](Checkpoint& c) { c.tensors()["model.decoder.layers.1.fc1.weight"] = {DType::kF32, {16, 24}}; },
     "$/model.safetensors: tensor 'model.decoder.layers.1.fc1.weight' is f32<16, 24>, but by config.json it must be "
     "f32<24, 16>"},
    {"PositionsWithoutOffset",
     [](Checkpoint& c) { c.tensors()["model.decoder.embed_positions.weight"] = {DType::kF32, {8, 16}}; },
     "$/model.safetensors: tensor 'model.decoder.embed_positions.weight' is f32<8, 16>, but by config.json it must be "
     "f32<10, 16>"},
    {"Integers", [](Checkpoint& c) { c.tensors()["model.decoder.layers.1.fc1.bias"].dtype = DType::kI32; },
     "$/model.safetensors: tensor 'model.decoder.layers.1.fc1.bias' is i32<24>; expected weights of f32, f16 or bf16"},
    {"Double", [](Checkpoint& c) { c.tensors()["model.decoder.layers.1.fc1.bias"].dtype = DType::kF64; },
     "$/model.safetensors: tensor 'model.decoder.layers.1.fc1.bias' is f64<24>; expected weights of f32, f16 or bf16"},
    {"MoreLayersThanTheConfig", [](Checkpoint& c) { c.config["num_hidden_layers"] = 1; },
     "$/model.safetensors: tensor 'model.decoder.layers.1.fc1.bias' has no place in the model that config.json "
     "describes; is it another checkpoint's config?"},
    {"BiasesThatTheConfigDenies", [](Checkpoint& c) { c.config["enable_bias"] = false; },
     "$/model.safetensors: tensor 'model.decoder.layers.0.fc1.bias' has no place in the model that config.json "
     "describes; is it another checkpoint's config?"},
    {"TensorTwiceByPrefix", [](Checkpoint& c) { c.tensors()["decoder.layers.0.fc1.bias"] = {DType::kF32, {24}}; },
     "$/model.safetensors: tensor 'model.decoder.layers.0.fc1.bias' is also called 'decoder.layers.0.fc1.bias' in "
     "$/model.safetensors; remove one of them"},
    {"TensorInTwoShards",
     [](Checkpoint& c) {
       c.Shard();
       c.files.at(kSecond)["model.decoder.embed_tokens.weight"] = {DType::kF32, {11, 16}};
     },
     "$/model-00002-of-00002.safetensors: tensor 'model.decoder.embed_tokens.weight' is also in "
     "$/model-00001-of-00002.safetensors; remove one of them"},
    {"TensorName", [](Checkpoint& c) { c.tensors()["a\nb"] = {DType::kF32, {1}}; },
     "$/model.safetensors: the name of the tensor 'a\\nb' has control characters or is not UTF-8"},
    {"TruncatedFile", &Nothing, "$/model.safetensors: is too short for a safetensors file (4 bytes)",
     Truncate("model.safetensors")},
    {"TruncatedShard", &Sharded, "$/model-00001-of-00002.safetensors: is too short for a safetensors file (4 bytes)",
     Truncate(kFirst)},
    {"Config", [](Checkpoint& c) { c.config["ffn_dim"] = 0; },
     "$/config.json: field 'ffn_dim' must be a whole number from 1 to 16777216, but is '0'"},
};

INSTANTIATE_TEST_SUITE_P(Wrong, BadFolders, testing::ValuesIn(kWrong),
                         [](const auto& test) { return test.param.name; });

const Case kIndexes[] = {
    {"ParentFolder", IndexTo("../other/model.safetensors"),
     "$/model.safetensors.index.json: tensor 'x' is in '../other/model.safetensors'; expected a .safetensors file of "
     "the same folder"},
    {"Absolute", IndexTo("/etc/model.safetensors"),
     "$/model.safetensors.index.json: tensor 'x' is in '/etc/model.safetensors'; expected a .safetensors file of the "
     "same folder"},
    {"Null", IndexTo(std::string("a\0.safetensors", 14)),
     "$/model.safetensors.index.json: tensor 'x' is in 'a\\x00.safetensors'; expected a .safetensors file of the same "
     "folder"},
    {"OtherFile", IndexTo("config.json"),
     "$/model.safetensors.index.json: tensor 'x' is in 'config.json'; expected a .safetensors file of the same folder"},
    {"Number", IndexTo(3),
     "$/model.safetensors.index.json: tensor 'x' is in '3'; expected a .safetensors file of the same folder"},
    {"Empty", [](Checkpoint& c) { c.files.clear(), c.index = {{"weight_map", nlohmann::json::object()}}; },
     "$/model.safetensors.index.json: field 'weight_map' must be an object that gives each tensor's file"},
    {"NoMap", [](Checkpoint& c) { c.files.clear(), c.index = {{"metadata", {{"total_size", 1}}}}; },
     "$/model.safetensors.index.json: field 'weight_map' must be an object that gives each tensor's file"},
    {"Twice", [](Checkpoint& c) { c.files.clear(); },
     "$/model.safetensors.index.json: has the key 'x' twice in one object",
     [](const Checkpoint& c) {
       WriteBytes(c.folder().File(kIndex), R"({"weight_map": {"x": "a.safetensors", "x": "b.safetensors"}})");
     }},
    {"NotJson", [](Checkpoint& c) { c.files.clear(); }, "$/model.safetensors.index.json: is not valid JSON at byte 2",
     [](const Checkpoint& c) { WriteBytes(c.folder().File(kIndex), "{weight_map}"); }},
};

INSTANTIATE_TEST_SUITE_P(Index, BadFolders, testing::ValuesIn(kIndexes),
                         [](const auto& test) { return test.param.name; });

TEST(HuggingFaceReader, NamesAFolderThatIsNone) {
  const TempFolder folder;
  WeightStore weights;
  EXPECT_EQ(ReadHuggingFace(folder.File("gone"), &weights).status().message(),
            folder.File("gone") + ": No such file or directory; expected the folder of a Hugging Face OPT checkpoint");
  WriteBytes(folder.File("file"), "x");
  EXPECT_EQ(ReadHuggingFace(folder.File("file"), &weights).status().message(),
            folder.File("file") + ": is not a folder; expected the folder of a Hugging Face OPT checkpoint");
}

}  // namespace
}  // namespace dejavu
