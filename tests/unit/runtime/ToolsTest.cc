// The programs as a user runs them: exit codes, messages and outputs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ir/base/FileUtil.h"
#include "tests/unit/runtime/TempFolder.h"
#include "tests/unit/runtime/ToyModel.h"
#include "tools/driver/Distribution.h"
#include "tools/driver/ProgressBar.h"

namespace dejavu {
namespace {

using ::testing::AllOf;
using ::testing::DoubleNear;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kArtifact[] = DEJAVU_TOY_ARTIFACT;

struct ToolOutput {
  int code = 0;
  std::string out;
  std::string err;
};

class ToolsTest : public ::testing::Test {
 protected:
  /// Runs `tool` with `arguments`, which the shell splits.
  ToolOutput RunTool(const std::string& tool, const std::string& arguments) const {
    const std::string out = folder_.path() + "/out";
    const std::string err = folder_.path() + "/err";
    const std::string command =
        std::string(DEJAVU_TOOLS) + "/" + tool + " " + arguments + " >" + out + " 2>" + err + " </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadTextFile(out).value(), ReadTextFile(err).value()};
  }

  ToolOutput RunOnToy(const std::string& tool, const std::string& arguments) const {
    return RunTool(tool, std::string(kArtifact) + " " + arguments);
  }

  std::string WriteText(const std::string& text) const {
    const std::string path = folder_.path() + "/text.txt";
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    return path;
  }

  TempFolder folder_;
};

// One error is one line, which the usage hint may follow.
void ExpectError(const ToolOutput& output, int code, const std::string& message) {
  EXPECT_EQ(output.code, code) << output.err;
  EXPECT_THAT(output.err, HasSubstr("error: "));
  EXPECT_THAT(output.err, HasSubstr(message));
  EXPECT_EQ(output.out, "");
}

TEST_F(ToolsTest, RunPrintsTextThatIsTheJsonsText) {
  const ToolOutput text = RunOnToy("dejavu-run", "--prompt=cab --max-new-tokens=6");
  const ToolOutput json = RunOnToy("dejavu-run", "--prompt=cab --max-new-tokens=6 --json");
  ASSERT_EQ(text.code, 0) << text.err;
  ASSERT_EQ(json.code, 0) << json.err;
  const nlohmann::json result = nlohmann::json::parse(json.out);
  EXPECT_EQ(text.out, result["text"].get<std::string>() + "\n");
  EXPECT_EQ(result["prompt_tokens"], 4);
  EXPECT_LE(result["tokens"].size(), 6);
  for (const char* key : {"finish_reason", "ms_per_token", "prefill_ms", "bytes_per_token", "mlp_density"}) {
    EXPECT_TRUE(result.contains(key)) << key;
  }
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 1);
}

TEST_F(ToolsTest, WhatNoTokenWasDecodedForIsNull) {
  const ToolOutput json = RunOnToy("dejavu-run", "--prompt=cab --max-new-tokens=0 --json");
  ASSERT_EQ(json.code, 0) << json.err;
  for (const char* key : {"ms_per_token", "bytes_per_token", "mlp_density"}) {
    EXPECT_TRUE(nlohmann::json::parse(json.out)[key].is_null()) << key;
  }
}

TEST_F(ToolsTest, GreedyTokensAreThoseOfAChoiceAmongOne) {
  for (const std::string max : {"0", "1", "2", "12", "60"}) {
    const std::string flags = "--tokens=2,5 --json --max-new-tokens=" + max;
    const ToolOutput greedy = RunOnToy("dejavu-run", flags);
    const ToolOutput drawn = RunOnToy("dejavu-run", flags + " --temperature=1 --top-k=1");
    ASSERT_EQ(greedy.code, 0) << greedy.err;
    for (const char* key : {"tokens", "text", "finish_reason", "bytes_per_token"}) {
      EXPECT_EQ(nlohmann::json::parse(greedy.out)[key], nlohmann::json::parse(drawn.out)[key]) << max << " " << key;
    }
  }
}

TEST_F(ToolsTest, BenchWritesATimeline) {
  const std::string path = folder_.path() + "/trace.json";
  const std::string flags = "--prompt-tokens=8 --new-tokens=8 --repeats=1 --trace=";
  const ToolOutput output = RunOnToy("dejavu-bench", flags + path);
  ASSERT_EQ(output.code, 0) << output.err;
  const nlohmann::json trace = nlohmann::json::parse(ReadTextFile(path).value());
  ASSERT_EQ(trace["traceEvents"].size(), 2 + 8) << "two names and the launches";
  EXPECT_EQ(trace["traceEvents"].back()["name"], "toy_argmax");
  ExpectError(RunOnToy("dejavu-bench", flags + folder_.path() + "/none/trace.json"), 1, "--trace");
}

TEST_F(ToolsTest, RunIsReproducibleForASeed) {
  const std::string flags = "--tokens=2,5 --max-new-tokens=20 --temperature=2 --top-k=20 --top-p=0.9 --json --seed=";
  const auto tokens = [&](const std::string& seed) {
    return nlohmann::json::parse(RunOnToy("dejavu-run", flags + seed).out)["tokens"];
  };
  EXPECT_EQ(tokens("7"), tokens("7"));
  EXPECT_NE(tokens("7"), tokens("8"));
}

TEST_F(ToolsTest, RunWritesTheLogitsOfEachPromptToken) {
  const std::string path = folder_.path() + "/logits.npy";
  const ToolOutput output = RunOnToy("dejavu-run", "--tokens=2,7,9 --max-new-tokens=0 --logits=" + path);
  ASSERT_EQ(output.code, 0) << output.err;
  const std::string file = ReadTextFile(path).value();
  const size_t data = file.size() - 3 * toy::kVocab * sizeof(float);
  EXPECT_EQ(data % 64, 0);
  EXPECT_THAT(file.substr(0, data), AllOf(StartsWith("\x93NUMPY\x01"), HasSubstr("'shape': (3, 24)"), EndsWith("\n")));
  const std::vector<int32_t> tokens = {2, 7, 9};
  for (size_t count = 1; count <= 3; ++count) {
    const std::vector<float> expected = toy::Reference(toy::MakeWeights(1), std::span(tokens).first(count));
    for (size_t i = 0; i < expected.size(); ++i) {
      float actual = 0;
      std::memcpy(&actual, file.data() + data + ((count - 1) * toy::kVocab + i) * sizeof(float), sizeof(float));
      EXPECT_NEAR(actual, expected[i], 1e-4F) << count << " " << i;
    }
  }
}

TEST_F(ToolsTest, RunRefusesBadInput) {
  ExpectError(RunOnToy("dejavu-run", ""), 1, "the prompt is empty");
  ExpectError(RunOnToy("dejavu-run", "--prompt="), 1, "the prompt is empty");
  ExpectError(RunOnToy("dejavu-run", "--tokens="), 1, "the prompt is empty");
  ExpectError(RunOnToy("dejavu-run", "--tokens=24"), 1, "outside the vocabulary, whose ids are 0 to 23");
  ExpectError(RunOnToy("dejavu-run", "--prompt=" + std::string(40, 'a')), 1, "41 tokens long");
  ExpectError(RunOnToy("dejavu-run", "--tokens=1 --logits=/no/such/l.npy"), 1, "--logits: /no/such/l.npy");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --tokenizer=/no/such"), 1, "/no/such");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --device=cuda"), 1,
              "has no code for the device 'cuda', only for: cpu");
  ExpectError(RunTool("dejavu-run", "no.dejavu --prompt=a"), 1, "no.dejavu: no such artifact");
  ExpectError(RunOnToy("dejavu-bench", "--prompt-tokens=900000000"), 1, "is more than the model's 32 positions");
}

TEST_F(ToolsTest, WrongUseExitsWithTwo) {
  ExpectError(RunTool("dejavu-run", ""), 2, "ARTIFACT is required");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --no-such-flag"), 2, "--no-such-flag");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --tokens=1"), 2, "excludes");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --max-new-tokens=-1"), 2, "'-1' is not an integer of at least 0");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --device=tpu"), 2, "unknown device 'tpu'");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --threads=-1"), 2, "number of threads");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --temperature=-1"), 2, "--temperature");
  ExpectError(RunOnToy("dejavu-run", "--prompt=a --temperature=nan"), 2, "--temperature");
  ExpectError(RunOnToy("dejavu-run", "--tokens=1,,2"), 2, "--tokens: '' is not a token id");
  ExpectError(RunOnToy("dejavu-run", "--tokens=1,99999999999"), 2, "'99999999999' is not a token id");
  ExpectError(RunOnToy("dejavu-bench", "--batch=9"), 2, "at most 8 sequences are decoded together");
  ExpectError(RunOnToy("dejavu-bench", "--repeats=0"), 2, "at least 1");
  ExpectError(RunOnToy("dejavu-eval", ""), 2, "--text is required, or --icl");
  ExpectError(RunOnToy("dejavu-eval", "--icl --icl-sequences=1"), 2, "at least 2");
  ExpectError(RunOnToy("dejavu-eval", "--icl"), 1, "--icl needs a model of at least");
}

TEST_F(ToolsTest, AFullDiskIsOneError) {
  if (!std::filesystem::exists("/dev/full")) {
    GTEST_SKIP() << "this system has no /dev/full";
  }
  const std::string err = folder_.path() + "/err";
  const std::string command = std::string(DEJAVU_TOOLS) + "/dejavu-run " + kArtifact +
                              " --tokens=2 --max-new-tokens=2 --json >/dev/full 2>" + err;
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_THAT(ReadTextFile(err).value(), HasSubstr("cannot write to standard output"));
  ExpectError(RunOnToy("dejavu-run", "--tokens=2 --max-new-tokens=0 --logits=/no/such/folder/x.npy --json"), 1,
              "/no/such/folder");
}

TEST_F(ToolsTest, EvalFollowsTheWindowingRule) {
  // Two documents: </s> a..t </s> tsrq... in windows of 32 inputs and 32 targets.
  std::string first;
  std::string second;
  for (int i = 0; i < 40; ++i) {
    first.push_back(static_cast<char>('a' + i * 7 % 20));
    second.push_back(static_cast<char>('a' + (i * i + 3) % 20));
  }
  std::vector<int32_t> ids = {2};
  for (const std::string& document : {first, second}) {
    for (const char c : document) {
      ids.push_back(4 + c - 'a');
    }
    ids.push_back(2);
  }
  ids.pop_back();
  const toy::ToyWeights weights = toy::MakeWeights(1);
  double nll = 0;
  for (size_t window = 0; window < 2; ++window) {
    for (size_t i = 1; i <= 32; ++i) {
      const std::vector<float> logits = toy::Reference(weights, std::span(ids).subspan(window * 32, i));
      nll += LogSumExp(logits) - logits[static_cast<size_t>(ids[window * 32 + i])];
    }
  }
  const std::string text = WriteText(first + "\n\x1e\n" + second);
  const ToolOutput output = RunOnToy("dejavu-eval", "--text=" + text + " --json --against=" + kArtifact);
  ASSERT_EQ(output.code, 0) << output.err;
  const nlohmann::json result = nlohmann::json::parse(output.out);
  EXPECT_EQ(result["tokens"], 64);
  EXPECT_THAT(result["nll"].get<double>(), DoubleNear(nll / 64, 1e-5));
  EXPECT_THAT(result["ppl"].get<double>(), DoubleNear(std::exp(nll / 64), 1e-3));
  EXPECT_EQ(result["against"]["ppl"], result["ppl"]);
  EXPECT_EQ(result["against"]["kl_mean"], 0.0);
  EXPECT_EQ(result["against"]["kl_p99"], 0.0);
  EXPECT_EQ(result["against"]["top1_agreement"], 1.0);
  EXPECT_EQ(result["against"]["ppl_ratio"], 1.0);
  EXPECT_EQ(result["against"]["ppl_ratio_interval"], nlohmann::json({1.0, 1.0}));
  EXPECT_EQ(result["against"]["mlp_recall"], nlohmann::json({1.0}));
  EXPECT_EQ(result["against"]["mlp_activity"], result["mlp_activity"]);
  EXPECT_LE(result["mlp_activity"][0], result["mlp_density"][0]);
  EXPECT_EQ(result["head_density"], nlohmann::json({1.0}));
  EXPECT_GT(result["mlp_density"][0], 0.0);
  EXPECT_LT(result["mlp_density"][0], 1.0);
  const ToolOutput one = RunOnToy("dejavu-eval", "--text=" + text + " --json --max-tokens=63");
  EXPECT_EQ(nlohmann::json::parse(one.out)["tokens"], 32);
}

TEST_F(ToolsTest, EvalGivesTheSameForAnyNumberOfJobs) {
  std::string letters;
  for (int i = 0; i < 32 * 7; ++i) {
    letters.push_back(static_cast<char>('a' + (i * i + i / 9) % 20));
  }
  const std::string flags = "--text=" + WriteText(letters) + " --against=" + kArtifact + " --report=" + folder_.path();
  const ToolOutput one = RunOnToy("dejavu-eval", flags + "/1.html --json");
  ASSERT_EQ(one.code, 0) << one.err;
  EXPECT_EQ(nlohmann::json::parse(one.out)["tokens"], 32 * 7);
  const std::string page = ReadTextFile(folder_.path() + "/1.html").value();
  EXPECT_THAT(page, HasSubstr("Time of the launches"));
  // More jobs than windows, more than threads, and with threads of their own.
  for (const std::string jobs : {"--jobs=3", "--jobs=100 --threads=1", "--jobs=2 --threads=5"}) {
    const ToolOutput several = RunOnToy("dejavu-eval", flags + "/2.html --json " + jobs);
    EXPECT_EQ(several.out, one.out) << jobs << "\n" << several.err;
  }
  const std::string without_times = ReadTextFile(folder_.path() + "/2.html").value();
  EXPECT_THAT(without_times, AllOf(HasSubstr("Bytes read and written"), Not(HasSubstr("Time of the launches")),
                                   Not(HasSubstr("per token</th></tr>"))));
  ExpectError(RunOnToy("dejavu-eval", flags + "/2.html --jobs=0"), 2, "--jobs");
  ExpectError(RunOnToy("dejavu-eval", flags + "/2.html --jobs=3 --threads=-1"), 2, "number of threads");
}

TEST_F(ToolsTest, EvalRefusesShortTexts) {
  const std::string text = WriteText("abc");
  ExpectError(RunOnToy("dejavu-eval", "--text=" + text), 1,
              "the text has 4 tokens, but one window of the model's 32 positions needs 33");
  const std::string long_text = WriteText(std::string(100, 'a'));
  ExpectError(RunOnToy("dejavu-eval", "--max-tokens=31 --text=" + long_text), 1, "less than one window");
  ExpectError(RunOnToy("dejavu-eval", "--text=/no/such"), 1, "/no/such");
}

TEST_F(ToolsTest, EvalWritesAReport) {
  const std::string flags = "--text=" + WriteText(std::string(100, 'a')) + " --report=";
  const std::string path = folder_.path() + "/report.html";
  const ToolOutput output = RunOnToy("dejavu-eval", flags + path);
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_THAT(ReadTextFile(path).value(), AllOf(StartsWith("<!DOCTYPE html>"), EndsWith("</html>\n")));
  ExpectError(RunOnToy("dejavu-eval", flags + "/no/such/report.html"), 1, "/no/such/report.html");
  ExpectError(RunOnToy("dejavu-eval", flags + folder_.path()), 1, folder_.path());
  if (std::filesystem::exists("/dev/full")) {
    ExpectError(RunOnToy("dejavu-eval", flags + "/dev/full"), 1, "/dev/full");
  }
}

TEST_F(ToolsTest, EvalPrintsATable) {
  const ToolOutput output = RunOnToy("dejavu-eval", "--text=" + WriteText(std::string(100, 'a')));
  EXPECT_EQ(output.code, 0) << output.err;
  EXPECT_THAT(output.out, AllOf(HasSubstr("perplexity"), HasSubstr("96 (3 windows)"),
                                HasSubstr("layer  heads, %  MLP, %  above 0, %")));
  EXPECT_EQ(output.err, "") << "no progress bar where stderr is a file";
}

TEST_F(ToolsTest, BenchReportsTheContractsFields) {
  const std::string flags = "--prompt-tokens=8 --new-tokens=8 --repeats=2 --threads=1";
  const ToolOutput output = RunOnToy("dejavu-bench", flags + " --json");
  ASSERT_EQ(output.code, 0) << output.err;
  const nlohmann::json result = nlohmann::json::parse(output.out);
  for (const char* key : {"ms_per_token", "ms_per_token_p10", "ms_per_token_p90", "prefill_ms", "bytes_per_token",
                          "gb_per_s", "copy_gb_per_s", "read_gb_per_s", "mlp_density", "head_density"}) {
    EXPECT_GT(result[key].get<double>(), 0.0) << key;
  }
  EXPECT_EQ(result["model"], "toy");
  const ToolOutput table = RunOnToy("dejavu-bench", flags + " --per-kernel");
  EXPECT_THAT(table.out, AllOf(HasSubstr("ms per token"), HasSubstr("toy_head"), HasSubstr("of copy")));
  ExpectError(RunOnToy("dejavu-bench", "--prompt-tokens=30 --new-tokens=8"), 1, "more than the model's 32 positions");
  ExpectError(RunOnToy("dejavu-bench", "--prompt-tokens=30 --text=" + WriteText("abc")), 1, "has 4 tokens, fewer than");
}

TEST(DistributionTest, DivergenceIsExactOnASmallExample) {
  const std::vector<float> p = {0.0F, 0.0F};
  const std::vector<float> q = {std::log(3.0F), 0.0F};
  EXPECT_NEAR(LogSumExp(q), std::log(4.0), 1e-7);
  // 0.5 log(0.5 / 0.75) + 0.5 log(0.5 / 0.25)
  EXPECT_NEAR(Divergence(p, LogSumExp(p), q, LogSumExp(q)), 0.5 * std::log(4.0 / 3.0), 1e-7);
  EXPECT_NEAR(LogSumExp(std::vector<float>(10000, 90.0F)), 90.0 + std::log(10000.0), 1e-9);
}

TEST(DistributionTest, PercentileIsTheNearestRank) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) {
    values.push_back(i);
  }
  EXPECT_EQ(Percentile(values, 0.99), 99);
  EXPECT_EQ(Percentile(values, 0.5), 50);
  EXPECT_EQ(Percentile(values, 1.0), 100);
  EXPECT_EQ(Percentile({}, 0.5), 0);
}

TEST(DurationTest, ReadsWell) {
  EXPECT_EQ(DurationText(44.6), "45 s");
  EXPECT_EQ(DurationText(200), "3 min 20 s");
  EXPECT_EQ(DurationText(7500), "2 h 05 min");
}

}  // namespace
}  // namespace dejavu
