// Decoding several sequences at once: each gets what it gets alone, in the interpreter and compiled.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "ir/base/Phases.h"
#include "ir/import/OnnxReader.h"
#include "ir/import/SyntheticReader.h"
#include "ir/interp/Interpreter.h"
#include "passes/Pipelines.h"
#include "passes/lift/Probe.h"
#include "passes/manager/PassManager.h"
#include "runtime/engine/BatchSession.h"
#include "tests/e2e/Compiled.h"

namespace dejavu {
namespace {

/// A sequence that the interpreter decodes by itself.
struct Interpreted {
  int64_t past = 0;
  std::vector<Tensor> state;  // what @decode returned
};

class InterpreterBatch {
 public:
  InterpreterBatch(const Module& module, WeightStore& store) : module_(module), interpreter_(module, &store, {}) {}

  absl::Status DecodeAlone(Interpreted& sequence, int64_t token) {
    const Function& decode = *module_.FindFunction("decode");
    ASSIGN_OR_RETURN(std::vector<Tensor> arguments, ArgumentsFor(decode, {token}));
    for (size_t i = 0; i < decode.num_arguments(); ++i) {
      const std::string& name = decode.argument(i)->name();
      if (name == "past") {
        arguments[i] = Tensor::Scalar(sequence.past);
      }
      for (size_t r = 0; r < sequence.state.size(); ++r) {
        arguments[i] = decode.return_names()[r] == name ? sequence.state[r] : arguments[i];
      }
    }
    ASSIGN_OR_RETURN(sequence.state, interpreter_.Run(decode, std::move(arguments)));
    ++sequence.past;
    return absl::OkStatus();
  }

  /// What the function for all `sequences` returns for a token of each.
  absl::StatusOr<std::vector<Tensor>> DecodeTogether(const std::vector<Interpreted>& sequences,
                                                     const std::vector<int64_t>& tokens) {
    const auto count = static_cast<int64_t>(sequences.size());
    const Function& function = *module_.FindFunction(DecodeName(count));
    std::vector<Tensor> arguments;
    for (size_t i = 0; i < function.num_arguments(); ++i) {
      const Value& argument = *function.argument(i);
      if (argument.type().rank() == 4) {
        arguments.push_back(Joined(argument.name(), sequences));
        continue;
      }
      Tensor numbers;
      numbers.dtype = argument.type().dtype;
      numbers.dims = {count};
      for (size_t s = 0; s < sequences.size(); ++s) {
        numbers.ints.push_back(argument.name() == "past" ? sequences[s].past : tokens[s]);
      }
      arguments.push_back(std::move(numbers));
    }
    return interpreter_.Run(function, std::move(arguments));
  }

 private:
  /// The sequences' caches one after the other, each with room for the longest; what is not used is NaN.
  Tensor Joined(const std::string& name, const std::vector<Interpreted>& sequences) const {
    const auto& names = module_.FindFunction("decode")->return_names();
    const auto index = static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    int64_t room = 0;
    for (const Interpreted& sequence : sequences) {
      room = std::max(room, sequence.past);
    }
    const std::vector<int64_t>& dims = sequences[0].state[index].dims;
    Tensor all;
    all.dtype = DType::kF32;
    all.dims = {2 * static_cast<int64_t>(sequences.size()), dims[1], room, dims[3]};
    for (const Interpreted& sequence : sequences) {
      const Tensor& cache = sequence.state[index];
      const int64_t used = sequence.past * dims[3];
      for (int64_t head = 0; head < 2 * dims[1]; ++head) {
        const auto begin = cache.floats.begin() + head * used;
        all.floats.insert(all.floats.end(), begin, begin + used);
        all.floats.insert(all.floats.end(), static_cast<size_t>((room - sequence.past) * dims[3]), std::nan(""));
      }
    }
    return all;
  }

  const Module& module_;
  Interpreter interpreter_;
};

struct BatchCase {
  std::string name;
  std::string input;
  std::string sparsity;
  std::string stratum;
};

class BatchInInterpreter : public testing::TestWithParam<BatchCase> {};

TEST_P(BatchInInterpreter, GivesEachSequenceItsOwnLogits) {
  WeightStore store;
  auto module = GetParam().input.ends_with(".onnx") ? ReadOnnx(kModels + GetParam().input, &store)
                                                    : ReadSynthetic(GetParam().input);
  ASSERT_TRUE(module.ok()) << module.status();
  const Budgets budgets = GetParam().sparsity == "predicted" ? Budgets{0.3, 0.42} : Budgets{};
  auto text = PipelineBetween(**module, "sparse", GetParam().sparsity, budgets);
  ASSERT_TRUE(text.ok()) << text.status();
  *text += ",batch-decode{sequences=3}" + std::string(GetParam().stratum == "sched" ? ",schedule" : "");
  std::ostringstream log;
  const absl::Status run = RunPipeline(**module, store, *ParsePipeline(*text), {}, log);
  ASSERT_TRUE(run.ok()) << run;
  InterpreterBatch batch(**module, store);
  std::vector<Interpreted> sequences(3);
  const std::vector<std::vector<int64_t>> prompts = {{2, 17, 99}, {5}, {120, 4}};
  for (size_t s = 0; s < sequences.size(); ++s) {
    for (const int64_t token : prompts[s]) {
      const absl::Status status = batch.DecodeAlone(sequences[s], token);
      ASSERT_TRUE(status.ok()) << status;
    }
  }
  const std::vector<int64_t> tokens = {31, 2, 77};
  const auto together = batch.DecodeTogether(sequences, tokens);
  ASSERT_TRUE(together.ok()) << together.status();
  const Tensor& logits = (*together)[0];
  const int64_t vocab = logits.dims[1];
  for (size_t s = 0; s < sequences.size(); ++s) {
    const absl::Status status = batch.DecodeAlone(sequences[s], tokens[s]);
    ASSERT_TRUE(status.ok()) << status;
    const auto begin = logits.floats.begin() + static_cast<int64_t>(s) * vocab;
    const std::vector<float> actual(begin, begin + vocab);
    // A list of other neurons, none of which is positive, changes no sum.
    EXPECT_LT(RelativeError(actual, sequences[s].state[0].floats.data()), 1e-6) << "sequence " << s;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, BatchInInterpreter,
                         testing::Values(BatchCase{"dense", "onnx-random/opt-legacy17-eager.onnx", "none", "sparse"},
                                         BatchCase{"exact", "onnx-random/opt-legacy17-eager.onnx", "exact", "sparse"},
                                         BatchCase{"scheduled", "onnx-random/opt-legacy17-eager.onnx", "exact",
                                                   "sched"},
                                         // All tokens of a synthetic model choose the same.
                                         BatchCase{"predicted", "opt-125m:layers=2", "predicted", "sched"}),
                         [](const auto& test) { return test.param.name; });

/// Tokens that are as different as a prompt can be.
std::vector<int32_t> Prompt(int64_t sequence, int64_t vocab) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < 5 + 7 * sequence; ++i) {
    tokens.push_back(static_cast<int32_t>((2 + 37 * sequence + 11 * i * i) % vocab));
  }
  return tokens;
}

/// What `session` decodes after a prompt, greedily.
std::vector<int32_t> Alone(Session& session, const std::vector<int32_t>& prompt, int64_t count) {
  session.Reset();
  const auto logits = session.Prefill(prompt);
  EXPECT_TRUE(logits.ok()) << logits.status();
  std::vector<int32_t> tokens = {LikeliestToken(*logits)};
  const absl::Status status = session.DecodeGreedily(tokens[0], count, [&](int32_t token) {
    tokens.push_back(token);
    return true;
  });
  EXPECT_TRUE(status.ok()) << status;
  return tokens;
}

class Batch : public testing::TestWithParam<std::string> {};

TEST_P(Batch, GivesEachSequenceItsOwnTokens) {
  constexpr int64_t kSteps = 24;
  const Compiled compiled(kModels + "opt-demo-7m/model.onnx", GetParam(), BestIsa(), "batch-" + GetParam(), 2,
                          {2, 3, 8});
  ASSERT_NE(compiled.session(), nullptr);
  const int64_t vocab = compiled.session()->model().info().vocab;
  for (const int64_t sequences : {2, 3, 8}) {
    const auto batch = BatchSession::Create(compiled.model(), sequences, {.threads = 2, .statistics = true});
    ASSERT_TRUE(batch.ok()) << batch.status();
    std::vector<std::vector<int32_t>> expected;
    std::vector<int32_t> tokens;
    for (int64_t s = 0; s < sequences; ++s) {
      expected.push_back(Alone(*compiled.session(), Prompt(s, vocab), kSteps));
      const auto logits = (*batch)->Prefill(s, Prompt(s, vocab));
      ASSERT_TRUE(logits.ok()) << logits.status();
      tokens.push_back(LikeliestToken(*logits));
    }
    for (size_t step = 0; step <= kSteps; ++step) {
      for (size_t s = 0; s < tokens.size(); ++s) {
        EXPECT_EQ(tokens[s], expected[s][step]) << "sequence " << s << " of " << sequences << ", step " << step;
      }
      const auto next = (*batch)->DecodeGreedily(tokens);
      ASSERT_TRUE(next.ok()) << next.status();
      tokens.assign(next->begin(), next->end());
    }
    EXPECT_EQ((*batch)->position(1), 5 + 7 + kSteps + 1);
    const double density = (*batch)->statistics().MeanMlpDensity();
    EXPECT_TRUE(GetParam() == "none" ? density == 1 : density > 0.1 && density < 0.8) << density;
  }
}

TEST_P(Batch, LogitsAreThoseOfOneSequence) {
  const Compiled compiled(kModels + "opt-demo-7m/model.onnx", GetParam(), BestIsa(), "rows-" + GetParam(), 2, {4});
  ASSERT_NE(compiled.session(), nullptr);
  const auto batch = BatchSession::Create(compiled.model(), 4, {.threads = 1});
  ASSERT_TRUE(batch.ok()) << batch.status();
  const int64_t vocab = compiled.session()->model().info().vocab;
  std::vector<int32_t> tokens;
  std::vector<double> expected;
  for (int64_t s = 0; s < 4; ++s) {
    const std::vector<int32_t> prompt = Prompt(s, vocab);
    tokens.push_back(prompt[2]);
    ASSERT_TRUE((*batch)->Prefill(s, prompt).ok());
    compiled.session()->Reset();
    ASSERT_TRUE(compiled.session()->Prefill(prompt).ok());
    const auto logits = compiled.session()->Decode(prompt[2]);
    ASSERT_TRUE(logits.ok()) << logits.status();
    expected.insert(expected.end(), logits->begin(), logits->end());
  }
  const auto logits = (*batch)->Decode(tokens);
  ASSERT_TRUE(logits.ok()) << logits.status();
  ASSERT_EQ(logits->size(), expected.size());
  EXPECT_LT(RelativeError(*logits, expected.data()), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Sparsities, Batch, testing::Values("none", "exact"));

TEST(BatchErrors, NameWhatIsWrong) {
  const Compiled compiled(kModels + "onnx-random/opt-legacy17-eager.onnx", "exact", BestIsa(), "batch-errors", 1, {2});
  ASSERT_NE(compiled.session(), nullptr);
  const auto message = [](const auto& result) { return std::string(result.status().message()); };
  EXPECT_NE(message(BatchSession::Create(compiled.model(), 4, {})).find("only for 1 and 2; build it with"),
            std::string::npos);
  EXPECT_FALSE(BatchSession::Create(compiled.model(), 1, {}).ok());
  EXPECT_FALSE(BatchSession::Create(compiled.model(), 9, {}).ok());
  const auto batch = BatchSession::Create(compiled.model(), 2, {.threads = 1});
  ASSERT_TRUE(batch.ok()) << batch.status();
  const std::vector<int32_t> two = {2, 3};
  EXPECT_NE(message((*batch)->Prefill(2, two)).find("there is no sequence 2"), std::string::npos);
  EXPECT_NE(message((*batch)->Prefill(0, {})).find("the prompt is empty"), std::string::npos);
  EXPECT_NE(message((*batch)->Decode(std::vector<int32_t>{1, 2, 3})).find("but gets 3"), std::string::npos);
  EXPECT_NE(message((*batch)->Decode(std::vector<int32_t>{1, -1})).find("sequence 1: token id -1"), std::string::npos);
  // Fill one sequence to its last position; the other stays short.
  const int64_t positions = compiled.session()->model().info().positions;
  ASSERT_TRUE((*batch)->Prefill(1, std::vector<int32_t>(static_cast<size_t>(positions), 5)).ok());
  EXPECT_NE(message((*batch)->Decode(two)).find("sequence 1: the sequence would be"), std::string::npos);
  EXPECT_EQ((*batch)->position(0), 0);
  (*batch)->Reset(1);
  EXPECT_TRUE((*batch)->Decode(two).ok());
}

}  // namespace
}  // namespace dejavu
