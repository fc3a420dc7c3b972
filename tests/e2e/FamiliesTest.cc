// Predictors of several families on a trained model: the compiled kernels against the interpreter, token by token.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "codegen/cpu/CpuTarget.h"
#include "passes/manager/Equivalence.h"
#include "passes/manager/PassManager.h"
#include "runtime/engine/Session.h"
#include "tests/e2e/Compiled.h"
#include "tests/e2e/InterpretedDecoder.h"
#include "tools/driver/Compile.h"
#include "tools/driver/ModelInput.h"
#include "tools/driver/Profile.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

struct FamilyCase {
  std::string name;
  std::string options;  // of insert-predictors, with the profile's folder behind them
};

class Families : public testing::TestWithParam<FamilyCase> {
 protected:
  static void SetUpTestSuite() {
    folder_ = absl::StrCat(testing::TempDir(), "/families-", getpid());
    fs::create_directories(folder_);
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }

  /// A profile of text that the model samples, with predictors two layers ahead; trained once in this process.
  static absl::Status Profile() {
    static const absl::Status trained = Train();
    return trained;
  }
  static absl::Status Train() {
    const ProfileOptions options = {.model = kDemo + "/model.onnx",
                                    .output = folder_ + "/profile",
                                    .text = "",
                                    .self = 1100,
                                    .tokenizer = "",
                                    .lookahead = 2,
                                    .device = {.threads = 2}};
    return MakeProfile(options).status();
  }

  absl::StatusOr<std::unique_ptr<Module>> Lower(WeightStore& store) const {
    RETURN_IF_ERROR(Profile());
    ASSIGN_OR_RETURN(std::unique_ptr<Module> module, ReadModel(kDemo + "/model.onnx", &store));
    ASSIGN_OR_RETURN(const Pipeline pipeline,
                     ParsePipeline(absl::StrCat("lift,phases,insert-predictors{", GetParam().options,
                                                ",profile=", folder_, "/profile", "},sparsify-mlp,sparsify-attention",
                                                GetParam().name == "lazy_heads" ? "{kv=lazy}" : "", ",schedule")));
    std::ostringstream log;
    RETURN_IF_ERROR(RunPipeline(*module, store, pipeline, {}, log));
    return module;
  }

  static std::string folder_;
};

std::string Families::folder_;

TEST_P(Families, LogitsAreTheInterpreters) {
  WeightStore store;
  const auto module = Lower(store);
  ASSERT_TRUE(module.ok()) << module.status();
  const auto session = LoadSession(**module, store);
  ASSERT_TRUE(session.ok()) << session.status();
  InterpretedDecoder interpreter(**module, store);
  for (const int32_t token : {2, 17, 400, 4, 99, 31}) {
    const auto expected = interpreter.Decode(token);
    ASSERT_TRUE(expected.ok()) << expected.status();
    const auto actual = (*session)->Decode(token);
    ASSERT_TRUE(actual.ok()) << actual.status();
    EXPECT_LT(RelativeError({actual->begin(), actual->end()}, *expected), 1e-5) << "token " << token;
  }
  // Something was left out, and what chose it is counted as predictors'.
  double density = 0;
  for (const double layer : (*session)->statistics().MlpDensity()) {
    density += layer / 6;
  }
  EXPECT_LT(density, 0.9);
  EXPECT_GT(density, 0.01);
  EXPECT_GT((*session)->statistics().PredictorBytesPerToken(), 0);
  EXPECT_GT(interpreter.lists().size(), 6U);  // not the same ones for every token
}

INSTANTIATE_TEST_SUITE_P(
    Pipelines, Families,
    testing::Values(FamilyCase{"four_bits", "kind=low-rank,mass=0.9,head-share=0.8"},
                    FamilyCase{"eight_bits", "kind=low-rank,matrix-bits=8,mass=0.95"},
                    FamilyCase{"sixteen_bits", "kind=low-rank,matrix-bits=16,lookahead=2,mass=0.9,head-share=0.5"},
                    FamilyCase{"lazy_heads", "kind=low-rank,mass=0.9,head-share=0.3"},
                    FamilyCase{"oracle", "kind=oracle,mass=0.9"}, FamilyCase{"oracle_of_all", "kind=oracle,mass=1"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace dejavu
