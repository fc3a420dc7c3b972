// Predicted sparsity from a synthetic shape to logits: the compiled kernels against the interpreter, token by token.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "codegen/cpu/CpuTarget.h"
#include "ir/import/SyntheticReader.h"
#include "passes/Pipelines.h"
#include "passes/manager/Equivalence.h"
#include "passes/manager/PassManager.h"
#include "runtime/engine/Session.h"
#include "tests/e2e/Compiled.h"
#include "tests/e2e/InterpretedDecoder.h"
#include "tools/driver/Compile.h"

namespace dejavu {
namespace {

struct PredictedCase {
  std::string name;
  Budgets budgets;
  bool biased = true;  // without biases each token has other neurons and heads
  int64_t k = 0;       // how many of 12 heads have the largest scores; 0: those with positive ones
};

absl::StatusOr<std::unique_ptr<Module>> MakeModule(const PredictedCase& test_case, WeightStore& store) {
  ASSIGN_OR_RETURN(std::unique_ptr<Module> module, ReadSynthetic("opt-125m:layers=2"));
  ASSIGN_OR_RETURN(const std::string text, PipelineBetween(*module, "sched", "predicted", test_case.budgets));
  ASSIGN_OR_RETURN(const Pipeline pipeline, ParsePipeline(text));
  std::ostringstream log;
  RETURN_IF_ERROR(RunPipeline(*module, store, pipeline, {}, log));
  for (const auto& op : module->FindFunction("decode")->ops()) {
    if (op->Is("sched.launch @quantized_linear") && !test_case.biased) {
      op->SetOperand(static_cast<size_t>(op->schema().OperandIndex("bias")), nullptr);
    }
    if (op->Is("sched.launch @select") && test_case.k > 0) {
      op->SetAttribute("k", test_case.k);
    }
  }
  return module;
}

class Predicted : public testing::TestWithParam<PredictedCase> {};

TEST_P(Predicted, LogitsAreTheInterpreters) {
  WeightStore store;
  const auto module = MakeModule(GetParam(), store);
  ASSERT_TRUE(module.ok()) << module.status();
  const auto session = LoadSession(**module, store);
  ASSERT_TRUE(session.ok()) << session.status();
  InterpretedDecoder interpreter(**module, store);
  for (const int32_t token : {2, 17, 40000, 4, 9999, 31}) {
    const auto expected = interpreter.Decode(token);
    ASSERT_TRUE(expected.ok()) << expected.status();
    const auto actual = (*session)->Decode(token);
    ASSERT_TRUE(actual.ok()) << actual.status();
    EXPECT_LT(RelativeError({actual->begin(), actual->end()}, *expected), 1e-5) << "token " << token;
  }
  const Budgets& budgets = GetParam().budgets;
  const Statistics& statistics = (*session)->statistics();
  if (!GetParam().biased || budgets.lazy_kv) {
    // Some heads sleep and wake again: among 12 heads, six tokens choose as many lists.
    EXPECT_GT(interpreter.lists().size(), 3U);
    for (const std::vector<int64_t>& list : interpreter.lists()) {
      EXPECT_TRUE(GetParam().k == 0 || list.size() == static_cast<size_t>(GetParam().k));
    }
    return;
  }
  const double neurons = budgets.mlp_density ? std::round(3072 * *budgets.mlp_density) / 3072 : 1;
  const double heads = budgets.head_density ? std::round(12 * *budgets.head_density) / 12 : 1;
  EXPECT_EQ(statistics.MlpDensity(), (std::vector<double>{neurons, neurons}));
  EXPECT_EQ(statistics.HeadDensity(), (std::vector<double>{1, heads}));
}

INSTANTIATE_TEST_SUITE_P(
    Budgets, Predicted,
    testing::Values(PredictedCase{"neurons", {0.1, std::nullopt}}, PredictedCase{"heads", {std::nullopt, 0.42}},
                    PredictedCase{"both", {0.1, 0.42}}, PredictedCase{"all", {1.0, 1.0}},
                    PredictedCase{"waking_heads", {std::nullopt, 0.42}, false},
                    PredictedCase{"largest_heads", {std::nullopt, 0.42}, false, 5},
                    PredictedCase{"lazy", {0.1, 0.42, "", std::nullopt, true}},
                    PredictedCase{"lazy_waking", {std::nullopt, 0.42, "", std::nullopt, true}, false},
                    PredictedCase{"lazy_largest", {0.1, 0.1, "", std::nullopt, true}, false, 1}),
    [](const auto& test) { return test.param.name; });

TEST(PredictedPrefill, IsDense) {
  WeightStore store;
  const auto module = MakeModule({"both", {0.1, 0.42}}, store);
  ASSERT_TRUE(module.ok()) << module.status();
  const auto session = LoadSession(**module, store);
  ASSERT_TRUE(session.ok()) << session.status();
  const std::vector<int64_t> tokens = {2, 17, 40000, 4};
  const auto expected = InterpretLogits(**module, store, tokens);  // of @prefill alone, and of @decode after it
  ASSERT_TRUE(expected.ok()) << expected.status();
  const auto prefilled = (*session)->Prefill(std::vector<int32_t>(tokens.begin(), tokens.end()));
  ASSERT_TRUE(prefilled.ok()) << prefilled.status();
  EXPECT_LT(RelativeError({prefilled->begin(), prefilled->end()}, expected->front()), 1e-5);
  EXPECT_GT(RelativeError({prefilled->begin(), prefilled->end()}, expected->back()), 1e-3) << "nothing was left out";
}

}  // namespace
}  // namespace dejavu
