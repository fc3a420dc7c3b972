#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "ir/base/FileUtil.h"
#include "runtime/artifact/ArtifactReader.h"
#include "runtime/artifact/ArtifactWriter.h"
#include "tests/unit/runtime/TempFolder.h"
#include "tests/unit/runtime/ToyModel.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class WriterTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<std::string> Entries() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  TempFolder folder_;
  std::string path_ = folder_.path() + "/toy.dejavu";
};

TEST_F(WriterTest, WithoutCommitNothingStays) {
  {
    auto writer = ArtifactWriter::Create(path_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE(writer->AddFile("tokenizer/vocab.json", "{}").ok());
    ASSERT_TRUE(writer->BeginTensors({{"w", DType::kF32, {2}}}).ok());
    EXPECT_FALSE(fs::exists(path_));
  }
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_F(WriterTest, ReplacesAnOlderArtifactAsAWhole) {
  ASSERT_TRUE(toy::WriteArtifact(path_, 1, {{"tokenizer/vocab.json", "{}"}}).ok());
  ASSERT_TRUE(toy::WriteArtifact(path_ + "/", 2).ok());
  EXPECT_THAT(Entries(), ElementsAre("toy.dejavu"));
  const auto reader = ArtifactReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_FALSE(reader->manifest().files.contains("tokenizer/vocab.json"));
  EXPECT_FALSE(fs::exists(path_ + "/tokenizer"));
}

TEST_F(WriterTest, EqualInputsGiveEqualBytes) {
  ASSERT_TRUE(toy::WriteArtifact(path_).ok());
  ASSERT_TRUE(toy::WriteArtifact(folder_.path() + "/again.dejavu").ok());
  for (const char* name : {"manifest.json", "weights.safetensors", "plan-cpu.json"}) {
    EXPECT_EQ(ReadTextFile(path_ + "/" + name).value(), ReadTextFile(folder_.path() + "/again.dejavu/" + name).value());
  }
}

TEST_F(WriterTest, AFailedReplacementKeepsTheOldArtifact) {
  ASSERT_TRUE(toy::WriteArtifact(path_, 1).ok());
  {
    auto writer = ArtifactWriter::Create(path_);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->BeginTensors({{"w", DType::kF32, {2}}}).ok());
    EXPECT_THAT(writer->Commit(toy::MakeManifest()).message(), HasSubstr("'w' is incomplete"));
  }
  EXPECT_THAT(Entries(), ElementsAre("toy.dejavu"));
  EXPECT_TRUE(ArtifactReader::Open(path_).ok());
}

TEST_F(WriterTest, WhatIsNoArtifactIsNotReplaced) {
  fs::create_directory(path_);
  ASSERT_TRUE(WriteFileAtomically(path_ + "/thesis.txt", "years of work").ok());
  EXPECT_THAT(ArtifactWriter::Create(path_).status().message(), HasSubstr("exists and is not an artifact"));
  const std::string file = folder_.path() + "/file";
  ASSERT_TRUE(WriteFileAtomically(file, "").ok());
  EXPECT_FALSE(ArtifactWriter::Create(file).ok());
  EXPECT_FALSE(ArtifactWriter::Create("").ok());
  EXPECT_TRUE(fs::exists(path_ + "/thesis.txt"));
}

TEST_F(WriterTest, AnEmptyFolderIsTaken) {
  fs::create_directory(path_);
  EXPECT_TRUE(toy::WriteArtifact(path_).ok());
  EXPECT_THAT(Entries(), ElementsAre("toy.dejavu"));
}

TEST_F(WriterTest, AParentThatCannotBeWrittenIsOneError) {
  EXPECT_THAT(ArtifactWriter::Create(folder_.path() + "/none/toy.dejavu").status().message(),
              HasSubstr("/none/toy.dejavu: cannot create a directory in"));
  if (geteuid() == 0) {
    GTEST_SKIP() << "root may write to every folder";
  }
  ASSERT_EQ(chmod(folder_.path().c_str(), 0555), 0);
  EXPECT_THAT(ArtifactWriter::Create(path_).status().message(), HasSubstr("Permission denied"));
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
}

TEST_F(WriterTest, AFullDiskIsOneErrorAndNothingStays) {
  // A limit on file sizes fails writes as a full disk does.
  (void)std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  rlimit low = old;
  low.rlim_cur = 4096;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  absl::Status status;
  {
    auto writer = ArtifactWriter::Create(path_);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->BeginTensors({{"w", DType::kU8, {100000}}}).ok());
    status = writer->AppendTensor(std::vector<std::byte>(100000));
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_THAT(status.message(), HasSubstr("weights.safetensors: cannot write"));
  EXPECT_THAT(Entries(), IsEmpty());
}

TEST_F(WriterTest, MisuseIsABug) {
  auto writer = ArtifactWriter::Create(path_);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->AddFile("a", "1").ok());
  for (const char* name : {"a", "../b", "manifest.json", "weights.safetensors"}) {
    EXPECT_EQ(writer->AddFile(name, "2").code(), absl::StatusCode::kInternal) << name;
  }
  EXPECT_EQ(writer->AppendTensor({}).code(), absl::StatusCode::kInternal);
  // A manifest that readers would refuse is not written.
  EXPECT_THAT(writer->Commit(toy::MakeManifest()).message(), HasSubstr("the manifest to write is wrong"));
}

}  // namespace
}  // namespace dejavu
