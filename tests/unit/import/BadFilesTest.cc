// Every file of tests/models/bad is refused with the message that expected.txt says, and nothing worse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "ir/import/OnnxReader.h"

namespace dejavu {
namespace {

const char* const kFolder = DEJAVU_SOURCE_DIR "/tests/models/bad/";

/// A file's name and a part of the message that refuses it.
using BadFile = std::pair<std::string, std::string>;

std::vector<BadFile> BadFiles() {
  std::ifstream list(std::string(kFolder) + "expected.txt");
  std::vector<BadFile> files;
  for (std::string line; std::getline(list, line);) {
    const size_t colon = line.find(": ");
    files.emplace_back(line.substr(0, colon), line.substr(colon + 2));
  }
  return files;
}

class BadFilesTest : public testing::TestWithParam<BadFile> {};

TEST_P(BadFilesTest, AreRefused) {
  const auto& [name, message] = GetParam();
  WeightStore weights;
  const auto module = ReadOnnx(kFolder + name, &weights);
  ASSERT_FALSE(module.ok());
  EXPECT_EQ(module.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string actual(module.status().message());
  EXPECT_THAT(actual, testing::StartsWith(kFolder + name + ": "));
  EXPECT_THAT(actual, testing::HasSubstr(message));
  EXPECT_LT(actual.size(), 1000U);
}

INSTANTIATE_TEST_SUITE_P(Onnx, BadFilesTest, testing::ValuesIn(BadFiles()), [](const auto& test) {
  std::string name = test.param.first.substr(0, test.param.first.rfind('.'));
  for (char& c : name) {
    c = c == '-' ? '_' : c;
  }
  return name;
});

TEST(BadFiles, MissingFilesAndFoldersAreErrors) {
  WeightStore weights;
  const auto missing = ReadOnnx("no/such/model.onnx", &weights);
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(std::string(missing.status().message()), testing::HasSubstr("no/such/model.onnx"));
  EXPECT_FALSE(ReadOnnx(kFolder, &weights).ok());
}

}  // namespace
}  // namespace dejavu
