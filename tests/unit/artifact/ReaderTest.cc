#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "ir/base/FileUtil.h"
#include "runtime/artifact/ArtifactReader.h"
#include "runtime/cpu/CpuFeatures.h"
#include "runtime/engine/Session.h"
#include "tests/unit/runtime/TempFolder.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Status status = toy::WriteArtifact(path_);
    ASSERT_TRUE(status.ok()) << status;
  }

  [[nodiscard]] std::string File(const std::string& name) const { return path_ + "/" + name; }

  void Overwrite(const std::string& name, const std::string& contents) const {
    ASSERT_TRUE(WriteFileAtomically(File(name), contents).ok());
  }

  /// Changes the manifest's JSON.
  void EditManifest(const std::function<void(nlohmann::json&)>& change) const {
    nlohmann::json json = nlohmann::json::parse(ReadTextFile(File(kManifestFile)).value());
    change(json);
    SealManifest(json);
    Overwrite(kManifestFile, json.dump());
  }

  /// The message of the first step of loading that fails; empty where none does.
  [[nodiscard]] std::string LoadMessage() const {
    const auto model = Model::Load(path_, {});
    return model.ok() ? "" : std::string(model.status().message());
  }

  TempFolder folder_;
  std::string path_ = folder_.path() + "/toy.dejavu";
};

TEST_F(ReaderTest, ReadsWhatWasWritten) {
  const auto reader = ArtifactReader::Open(path_ + "//");
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->path(), path_);
  EXPECT_EQ(reader->manifest().model.vocab, toy::kVocab);
  const auto plan = reader->ReadPlan("cpu");
  ASSERT_TRUE(plan.ok()) << plan.status();
  int64_t done = 0;
  const auto weights = reader->OpenWeights(*plan, {true, [&](int64_t bytes, int64_t total) {
                                                     done = bytes;
                                                     EXPECT_EQ(total, 4 * (192 + 128 + 16 + 128 + 8));
                                                   }});
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_EQ(done, 4 * (192 + 128 + 16 + 128 + 8));
  const auto expected = toy::MakeWeights(1);
  for (size_t i = 0; i < weights->size(); ++i) {
    const std::span<const std::byte> bytes = std::as_bytes(std::span(expected.at(plan->weights[i])));
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), weights->tensor(i).begin(), weights->tensor(i).end()));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(weights->tensor(i).data()) % 64, 0);
  }
}

TEST_F(ReaderTest, SyntheticTensorsAreCheckedBeforeAnyIsMade) {
  const auto message = [&](const std::function<void(nlohmann::json&)>& change) {
    EditManifest([&](nlohmann::json& json) {
      json["synthetic"] = nlohmann::json::object();
      for (const auto& [name, tensor] : toy::SyntheticTensors()) {
        json["synthetic"][name] = SyntheticTensorToJson(tensor);
      }
      change(json["synthetic"]);
    });
    return LoadMessage();
  };
  EXPECT_EQ(message([](auto&) {}), "");
  EXPECT_EQ(message([](auto& tensors) { tensors.erase("fc2"); }),
            File(kManifestFile) + ": field 'synthetic' has no tensor 'fc2'");
  // Each tensor's bytes can be counted, their sum is more than a file may have.
  EXPECT_THAT(message([](auto& tensors) {
                for (auto& tensor : tensors) {
                  tensor["rows"] = tensor["columns"] = 1 << 24;
                }
              }),
              HasSubstr("field 'synthetic': the tensors up to 'fc1' have more than 1125899906842624 bytes"));
}

TEST_F(ReaderTest, WhatIsNoArtifactSaysSo) {
  EXPECT_THAT(ArtifactReader::Open(folder_.path() + "/none").status().message(), HasSubstr("no such artifact"));
  EXPECT_THAT(ArtifactReader::Open(folder_.path()).status().message(), HasSubstr("is not an artifact"));
  EXPECT_THAT(ArtifactReader::Open(File("module.dv")).status().message(), HasSubstr("is not an artifact"));
}

TEST_F(ReaderTest, MissingFilesAreNamed) {
  for (const char* name : {"module.dv", "plan-cpu.json", "cpu-toy.so", "weights.safetensors"}) {
    const std::string aside = folder_.path() + "/aside";
    fs::rename(File(name), aside);
    EXPECT_THAT(LoadMessage(), StartsWith(File(name) + ": cannot open the file")) << name;
    fs::rename(aside, File(name));
  }
  EXPECT_EQ(LoadMessage(), "");
}

TEST_F(ReaderTest, TruncatedAndOversizedFilesAreNamed) {
  for (const char* name : {"module.dv", "plan-cpu.json", "cpu-toy.so", "weights.safetensors"}) {
    const std::string contents = ReadTextFile(File(name)).value();
    Overwrite(name, contents.substr(0, contents.size() - 1));
    EXPECT_THAT(LoadMessage(), AllOf(StartsWith(File(name) + ": is damaged"), HasSubstr("bytes"))) << name;
    Overwrite(name, contents + "x");
    EXPECT_THAT(LoadMessage(), StartsWith(File(name) + ": is damaged")) << name;
    Overwrite(name, contents);
  }
}

TEST_F(ReaderTest, AChangedByteIsFound) {
  for (const char* name : {"module.dv", "plan-cpu.json", "cpu-toy.so"}) {
    const std::string contents = ReadTextFile(File(name)).value();
    std::string changed = contents;
    changed[contents.size() / 2] ^= 1;
    Overwrite(name, changed);
    EXPECT_THAT(LoadMessage(), AllOf(StartsWith(File(name) + ": is damaged"), HasSubstr("XXH3 hash"))) << name;
    Overwrite(name, contents);
  }
}

TEST_F(ReaderTest, EveryChangedByteOfTheWeightsIsFoundUnlessHashesAreNotWanted) {
  const std::string contents = ReadTextFile(File(kWeightsFile)).value();
  // Steps through the header, every tensor and the fillers between them.
  for (size_t i = 0; i < contents.size(); i += 7) {
    std::string changed = contents;
    changed[i] ^= 1;
    Overwrite(kWeightsFile, changed);
    ASSERT_THAT(LoadMessage(), StartsWith(File(kWeightsFile) + ": ")) << i;
  }
  std::string changed = contents;
  changed[contents.size() - 40] ^= 1;
  Overwrite(kWeightsFile, changed);
  EXPECT_THAT(LoadMessage(), AllOf(HasSubstr("is damaged"), HasSubstr("tensor 'fc2.bias'")));
  ModelOptions options;
  options.weights.verify_hashes = false;
  EXPECT_TRUE(Model::Load(path_, options).ok());
}

TEST_F(ReaderTest, TensorsMustBeThoseOfTheManifest) {
  EditManifest([](nlohmann::json& json) { json["tensors"].erase("fc1"); });
  EXPECT_EQ(LoadMessage(), File(kWeightsFile) + ": tensor 'fc1' is not in the manifest");
  EditManifest([](nlohmann::json& json) {
    json["tensors"]["fc1"] = std::string(16, '0');
    json["tensors"]["fc9"] = std::string(16, '0');
  });
  EXPECT_EQ(LoadMessage(), File(kWeightsFile) + ": tensor 'fc9' is in the manifest, but not in the file");
}

TEST_F(ReaderTest, DamagedManifestsAreNamed) {
  const std::string contents = ReadTextFile(File(kManifestFile)).value();
  Overwrite(kManifestFile, contents.substr(0, contents.size() / 2));
  EXPECT_THAT(LoadMessage(), StartsWith(File(kManifestFile) + ": is not valid JSON at byte "));
  Overwrite(kManifestFile, contents);
  EditManifest([](nlohmann::json& json) { json["format"] = 99; });
  EXPECT_THAT(LoadMessage(), StartsWith(File(kManifestFile) + ": has artifact format 99"));
}

TEST_F(ReaderTest, PathsThatLeaveTheArtifactAreRefused) {
  EditManifest([](nlohmann::json& json) { json["files"]["../secret"] = json["files"]["module.dv"]; });
  EXPECT_THAT(LoadMessage(), AllOf(StartsWith(File(kManifestFile)), HasSubstr("'../secret' leaves the artifact")));
}

TEST_F(ReaderTest, CodeForOtherProcessorsSaysWhatItIsFor) {
  EditManifest([](nlohmann::json& json) { json["targets"][0]["code"][0]["isa"] = "riscv64"; });
  EXPECT_THAT(LoadMessage(), AllOf(StartsWith(path_ + ": holds code for riscv64, but this processor runs "),
                                   HasSubstr("build the artifact again")));
}

TEST_F(ReaderTest, TheBestCodeThatTheProcessorRunsIsChosen) {
  EditManifest([](nlohmann::json& json) {
    nlohmann::json& code = json["targets"][0]["code"];
    for (const char* isa : {"x86-64-v2", "x86-64-v4", "x86-64-v3"}) {
      code.push_back({{"isa", isa}, {"file", "module.dv"}});
    }
  });
  const auto reader = ArtifactReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->ChooseCode("cpu", Machine{"it", {"x86-64-v3", "x86-64-v2", "x86-64"}, ""})->isa, "x86-64-v3");
  EXPECT_EQ(reader->ChooseCode("cpu", Machine{"it", {"x86-64-v2", "x86-64"}, ""})->isa, "x86-64-v2");
  EXPECT_THAT(reader->ChooseCode("tpu", {}).status().message(), HasSubstr("has no code for the device 'tpu'"));
}

TEST_F(ReaderTest, KernelsThatTheCodeLacksAreNamed) {
  const std::string plan = ReadTextFile(File("plan-cpu.json")).value();
  std::string renamed = plan;
  renamed.replace(renamed.find("toy_head"), 8, "toy_tail");
  Overwrite("plan-cpu.json", renamed);
  EditManifest([&](nlohmann::json& json) { json["files"]["plan-cpu.json"]["xxh3"] = HashText(Hash64(renamed)); });
  const auto model = Model::Load(path_, {});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(Session::Create(*model, {}).status().message(),
            File("cpu-toy.so") + ": has no kernel 'toy_tail', which the plan launches");
}

TEST_F(ReaderTest, CodeThatIsNoSharedObjectIsNamed) {
  Overwrite("cpu-toy.so", "not an object");
  EditManifest([&](nlohmann::json& json) {
    json["files"]["cpu-toy.so"] = {{"bytes", 13}, {"xxh3", HashText(Hash64(std::string_view("not an object")))}};
  });
  EXPECT_THAT(LoadMessage(), StartsWith(File("cpu-toy.so") + ": cannot be loaded"));
}

TEST(CpuFeaturesTest, LevelsAreOrderedAndTheMachineIsNamed) {
  const std::vector<std::string> isas = SupportedIsas();
  ASSERT_FALSE(isas.empty());
#if defined(__x86_64__)
  EXPECT_EQ(isas.back(), "x86-64");
  EXPECT_TRUE(std::is_sorted(isas.rbegin(), isas.rend()));
  EXPECT_EQ(HasLevel3(), isas.size() >= 3);
#endif
  EXPECT_GE(AvailableCores(), 1);
  EXPECT_FALSE(CpuName().empty());
}

}  // namespace
}  // namespace dejavu
