// The programs with --device=cuda: on the fake driver, and where there is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "ir/base/FileUtil.h"
#include "tests/unit/cuda/ToyCudaModel.h"
#include "tests/unit/runtime/TempFolder.h"

namespace dejavu {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct ToolOutput {
  int code = 0;
  std::string out;
  std::string err;
};

class CudaToolsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const absl::Status written = toy::WriteCudaArtifact(artifact());
    ASSERT_TRUE(written.ok()) << written;
  }

  std::string artifact() const { return folder_.path() + "/toy.dejavu"; }

  /// `driver` is the folder of a libcuda.so.1, or empty.
  ToolOutput Run(const std::string& driver, const std::string& tool, const std::string& arguments) const {
    const std::string out = folder_.path() + "/out";
    const std::string err = folder_.path() + "/err";
    const std::string command = "LD_LIBRARY_PATH=" + driver + " " DEJAVU_TOOLS "/" + tool + " " + artifact() + " " +
                                arguments + " >" + out + " 2>" + err + " </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadTextFile(out).value(), ReadTextFile(err).value()};
  }

  ToolOutput RunOnFake(const std::string& tool, const std::string& arguments) const {
    return Run(DEJAVU_FAKE_DRIVER, tool, "--device=cuda " + arguments);
  }

  TempFolder folder_;
};

TEST_F(CudaToolsTest, RunGeneratesText) {
  const ToolOutput text = RunOnFake("dejavu-run", "--prompt=cab --max-new-tokens=6");
  const ToolOutput json = RunOnFake("dejavu-run", "--prompt=cab --max-new-tokens=6 --json");
  ASSERT_EQ(text.code, 0) << text.err;
  ASSERT_EQ(json.code, 0) << json.err;
  const nlohmann::json result = nlohmann::json::parse(json.out);
  EXPECT_EQ(text.out, result["text"].get<std::string>() + "\n");
  EXPECT_GT(result["bytes_per_token"], 0);
}

TEST_F(CudaToolsTest, TheDeviceChoosesTheTokensThatTheHostWould) {
  const std::string flags = "--prompt=cab --max-new-tokens=20";
  // The likeliest of one token is the host's choice.
  const ToolOutput device = RunOnFake("dejavu-run", flags);
  const ToolOutput host = RunOnFake("dejavu-run", flags + " --temperature=1 --top-k=1");
  ASSERT_EQ(device.code, 0) << device.err;
  EXPECT_GT(device.out.size(), 2);
  EXPECT_EQ(device.out, host.out);
}

TEST_F(CudaToolsTest, EvalScores) {
  const std::string path = folder_.path() + "/text.txt";
  ASSERT_TRUE(WriteFileAtomically(path, std::string(70, 'c')).ok());
  const ToolOutput output = RunOnFake("dejavu-eval", "--json --text=" + path + " --against=" + artifact());
  ASSERT_EQ(output.code, 0) << output.err;
  const nlohmann::json result = nlohmann::json::parse(output.out);
  EXPECT_EQ(result["tokens"], 64);
  EXPECT_EQ(result["against"]["kl_mean"], 0.0);
  EXPECT_LT(result["mlp_density"][0], 1.0);
  EXPECT_EQ(result["against"]["mlp_recall"], nlohmann::json({1.0}));
  const ToolOutput jobs = RunOnFake("dejavu-eval", "--json --jobs=2 --text=" + path + " --against=" + artifact());
  EXPECT_EQ(jobs.out, output.out) << jobs.err;
  EXPECT_GT(result["mlp_activity"][0], 0.0);
  EXPECT_LE(result["mlp_activity"][0], result["mlp_density"][0]);
}

TEST_F(CudaToolsTest, BenchListsTheKernels) {
  const std::string flags = "--prompt-tokens=8 --new-tokens=8 --repeats=2 --per-kernel ";
  const ToolOutput table = RunOnFake("dejavu-bench", flags);
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, AllOf(HasSubstr("Fake GPU, sm_90"), HasSubstr("of a copy's"), HasSubstr("cuda_toy_head")));
  const ToolOutput json = RunOnFake("dejavu-bench", flags + "--json");
  ASSERT_EQ(json.code, 0) << json.err;
  const nlohmann::json result = nlohmann::json::parse(json.out);
  EXPECT_EQ(result["device"], "Fake GPU");
  EXPECT_EQ(result["target"], "sm_90");
  EXPECT_GT(result["copy_gb_per_s"], 0);
  EXPECT_EQ(result["read_gb_per_s"], nullptr);
  ASSERT_EQ(result["kernels"].size(), 8);
  for (const auto& kernel : result["kernels"]) {
    EXPECT_EQ(kernel["launches"], 1);
    EXPECT_NEAR(kernel["us"].get<double>(), 10, 0.01);
    EXPECT_TRUE(kernel.contains("of_copy"));
  }
}

TEST_F(CudaToolsTest, BenchWritesATimeline) {
  const std::string path = folder_.path() + "/trace.json";
  const ToolOutput output = RunOnFake("dejavu-bench", "--prompt-tokens=4 --new-tokens=4 --repeats=1 --trace=" + path);
  ASSERT_EQ(output.code, 0) << output.err;
  const nlohmann::json trace = nlohmann::json::parse(ReadTextFile(path).value());
  int64_t launches = 0;
  for (const auto& event : trace["traceEvents"]) {
    if (event["ph"] == "X") {
      ++launches;
      EXPECT_GE(event["dur"].get<double>(), 10);
      EXPECT_GE(event["ts"].get<double>(), 0);
      EXPECT_GT(event["args"]["bytes"].get<double>(), 0);
      EXPECT_EQ(event["tid"], 0);
    }
  }
  EXPECT_EQ(launches, 8);
  EXPECT_EQ(trace["traceEvents"][0]["args"]["name"], "toy on Fake GPU");
}

TEST_F(CudaToolsTest, WithoutADriverTheMessageSaysSo) {
  // Where a real driver is installed, the tools would find it.
  if (std::system("ldconfig -p 2>/dev/null | grep -q libcuda.so.1") == 0) {
    GTEST_SKIP() << "this machine has an NVIDIA driver";
  }
  const ToolOutput output = Run("", "dejavu-run", "--device=cuda --tokens=1");
  EXPECT_EQ(output.code, 1);
  EXPECT_THAT(output.err, HasSubstr("error: there is no NVIDIA driver"));
}

}  // namespace
}  // namespace dejavu
