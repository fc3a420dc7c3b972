// A cascade in a trained model: the compiled kernels against the interpreter, token by token.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "codegen/cpu/CpuTarget.h"
#include "ir/import/WeightTransforms.h"
#include "passes/manager/Equivalence.h"
#include "passes/manager/PassManager.h"
#include "passes/manager/PipelineParser.h"
#include "passes/sparsity/LowRankPredictors.h"
#include "runtime/engine/Session.h"
#include "tests/e2e/Compiled.h"
#include "tests/e2e/InterpretedDecoder.h"
#include "tools/driver/Compile.h"
#include "tools/driver/ModelInput.h"

namespace dejavu {
namespace {

absl::Status RunText(Module& module, WeightStore& store, const std::string& text) {
  ASSIGN_OR_RETURN(const Pipeline pipeline, ParsePipeline(text));
  std::ostringstream log;
  return RunPipeline(module, store, pipeline, {}, log);
}

/// Puts a first step before each copy: fc1 in 8 bits without its bias, which lists about half of the neurons.
absl::Status InsertFirstSteps(Module& module) {
  Function* decode = module.FindFunction("decode");
  std::vector<Operation*> tests;
  for (const auto& op : decode->ops()) {
    if (op->Is("sparse.quantized_active")) {
      tests.push_back(op.get());
    }
  }
  for (size_t layer = 0; layer < tests.size(); ++layer) {
    const Weight* fc1 = tests[layer]->operand("copy")->weight()->sources[0];
    PredictorWeights weights;
    weights.up = AddDerivedWeight(module, fc1->name + ".q8", "quantize", {fc1})->value;
    weights.up_scales = AddDerivedWeight(module, fc1->name + ".scales", "row_scales", {fc1})->value;
    RETURN_IF_ERROR(InsertPredictor(*decode, *tests[layer], weights, static_cast<int64_t>(layer), "active", 0));
    for (const auto& op : decode->ops()) {
      if (op->Is("sparse.select") && op->GetAttribute<int64_t>("layer") == static_cast<int64_t>(layer)) {
        tests[layer]->SetOperand(static_cast<size_t>(tests[layer]->schema().OperandIndex("among")), op->result());
      }
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Module>> MakeModule(WeightStore& store) {
  ASSIGN_OR_RETURN(std::unique_ptr<Module> module, ReadModel(kDemo + "/model.onnx", &store));
  RETURN_IF_ERROR(RunText(*module, store, "lift,phases,insert-predictors{kind=copy,bits=3,group=32,margin=-2}"));
  RETURN_IF_ERROR(InsertFirstSteps(*module));
  RETURN_IF_ERROR(RunText(*module, store, "sparsify-mlp,schedule"));
  return module;
}

TEST(Cascade, ListsWhatBothStepsChoose) {
  WeightStore store;
  const auto module = MakeModule(store);
  ASSERT_TRUE(module.ok()) << module.status();
  const auto session = LoadSession(**module, store);
  ASSERT_TRUE(session.ok()) << session.status();
  double candidates = 0;
  double listed = 0;
  InterpretedDecoder interpreter(**module, store, [&](const Operation& op, const std::vector<Tensor>& results) {
    const auto size = static_cast<double>(results[0].ints.size());
    candidates += op.Is("sched.launch @select") ? size : 0;
    listed += op.Is("sched.launch @compact") ? size : 0;
  });
  const std::vector<int32_t> tokens = {2, 464, 1181, 286, 262, 995};
  for (const int32_t token : tokens) {
    const auto expected = interpreter.Decode(token);
    ASSERT_TRUE(expected.ok()) << expected.status();
    const auto actual = (*session)->Decode(token);
    ASSERT_TRUE(actual.ok()) << actual.status();
    EXPECT_LT(RelativeError({actual->begin(), actual->end()}, *expected), 1e-5) << "token " << token;
  }
  EXPECT_LT(listed, candidates * 3 / 4);
  EXPECT_GT(listed, candidates / 20);
  // The MLP's list counts, not that of its candidates.
  const auto layers = static_cast<double>((*module)->IntAttribute("layers"));
  const auto hidden = static_cast<double>((*module)->IntAttribute("hidden"));
  const auto neurons = static_cast<double>((*module)->IntAttribute("ffn"));
  const auto count = static_cast<double>(tokens.size());
  const Statistics& statistics = (*session)->statistics();
  EXPECT_DOUBLE_EQ(statistics.MeanMlpDensity(), listed / (neurons * layers * count));
  // A step costs what it reads: all rows of 8 bits, with scale and score; of the copy, two planes of 2 bits and 1,
  // group scales and sums of the candidates alone.
  const double first = layers * neurons * (hidden + 2 * 4 + 4);
  const double second = candidates / count * (3 * hidden / 8 + hidden / 32 + 12);
  EXPECT_NEAR(statistics.PredictorBytesPerToken() / (first + second), 1, 0.05);
}

}  // namespace
}  // namespace dejavu
