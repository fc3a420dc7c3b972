// Models that are almost OPT are refused on their way to [model], with the message that expected.txt says; models that
// are OPT, however exported, arrive there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include "ir/import/OnnxReader.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"

namespace dejavu {
namespace {

const std::string kModels = DEJAVU_SOURCE_DIR "/tests/models/";

/// Reads the file and lifts it to [model].
absl::Status Lift(const std::string& path) {
  WeightStore weights;
  ASSIGN_OR_RETURN(const std::unique_ptr<Module> module, ReadOnnx(path, &weights));
  ASSIGN_OR_RETURN(const std::string text, PipelineBetween(*module, "model", "exact"));
  ASSIGN_OR_RETURN(const auto pipeline, ParsePipeline(text));
  std::ostringstream log;
  return RunPipeline(*module, weights, pipeline, {}, log);
}

struct Refused {
  std::string file;
  std::string message;
  friend void PrintTo(const Refused& model, std::ostream* out) { *out << model.file; }
};

std::vector<Refused> RefusedModels() {
  std::ifstream list(kModels + "refused/expected.txt");
  std::vector<Refused> models;
  for (std::string line; std::getline(list, line);) {
    const size_t colon = line.find(": ");
    models.push_back({line.substr(0, colon), line.substr(colon + 2)});
  }
  return models;
}

std::string TestName(const std::string& file) {
  std::string name = std::filesystem::path(file).stem().string();
  for (char& c : name) {
    c = c == '-' ? '_' : c;
  }
  return name;
}

class RefusedModelsTest : public testing::TestWithParam<Refused> {};

TEST_P(RefusedModelsTest, SayWhatTheyAreNot) {
  const absl::Status status = Lift(kModels + "refused/" + GetParam().file);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(ExitCode(status), 1) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(Onnx, RefusedModelsTest, testing::ValuesIn(RefusedModels()),
                         [](const auto& test) { return TestName(test.param.file); });

std::vector<std::string> LiftedModels() {
  std::vector<std::string> files;
  for (const std::string folder : {"onnx-opsets", "onnx-random", "opt-demo-7m"}) {
    for (const auto& entry : std::filesystem::directory_iterator(kModels + folder)) {
      if (entry.path().extension() == ".onnx") {
        files.push_back(absl::StrCat(folder, "/", entry.path().filename().string()));
      }
    }
  }
  return files;
}

class LiftedModelsTest : public testing::TestWithParam<std::string> {};

TEST_P(LiftedModelsTest, ReachTheModelStratum) {
  EXPECT_TRUE(Lift(kModels + GetParam()).ok()) << Lift(kModels + GetParam());
}

INSTANTIATE_TEST_SUITE_P(Onnx, LiftedModelsTest, testing::ValuesIn(LiftedModels()),
                         [](const auto& test) { return TestName(test.param); });

}  // namespace
}  // namespace dejavu
