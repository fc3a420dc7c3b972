// What text cannot show of the IR's core: use lists, type patterns, ownership.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/core/Builder.h"
#include "ir/core/Clone.h"
#include "ir/core/Inference.h"
#include "ir/core/TypePattern.h"
#include "ir/ops/ModelOps.h"
#include "ir/ops/Registry.h"
#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "ir/verify/Verifier.h"

namespace dejavu {
namespace {

using ::testing::HasSubstr;

const Type kRows{DType::kF32, {"tokens", int64_t{8}}};

TEST(TypePattern, BindsEachVariableOnce) {
  DimBindings bindings;
  EXPECT_TRUE(MatchTypePattern("f32<T, K>", kRows, bindings));
  EXPECT_TRUE(MatchTypePattern("float<N, K>", {DType::kF16, {int64_t{3}, int64_t{8}}}, bindings));
  EXPECT_EQ(InstantiateTypePattern("f32<T, N>", bindings)->ToString(), "f32<tokens, 3>");
  EXPECT_FALSE(MatchTypePattern("float<M, K>", {DType::kF16, {int64_t{3}, int64_t{9}}}, bindings));
}

TEST(TypePattern, CoefficientsDivide) {
  DimBindings bindings;
  EXPECT_TRUE(MatchTypePattern("f32<T, 3H>", {DType::kF32, {int64_t{1}, int64_t{24}}}, bindings));
  EXPECT_EQ(InstantiateTypePattern("f32<T, H>", bindings)->ToString(), "f32<1, 8>");
  DimBindings others;
  EXPECT_FALSE(MatchTypePattern("f32<T, 3H>", {DType::kF32, {int64_t{1}, int64_t{25}}}, others));
  EXPECT_FALSE(MatchTypePattern("f32<T, 3H>", kRows, others)) << "8 is not a multiple of 3";
}

TEST(TypePattern, ElementTypeClasses) {
  DimBindings bindings;
  EXPECT_TRUE(MatchTypePattern("int<...>", {DType::kI8, {}}, bindings));
  EXPECT_FALSE(MatchTypePattern("int<...>", {DType::kIndex, {}}, bindings));
  EXPECT_FALSE(MatchTypePattern("float<...>", {DType::kI8, {}}, bindings));
  EXPECT_FALSE(InstantiateTypePattern("float<K>", bindings).has_value()) << "an element type must be chosen";
}

TEST(Operation, UseListsFollowOperands) {
  Module module("m");
  Function* function = module.AddFunction("f");
  Value* a = function->AddArgument(kRows, "a");
  Value* b = function->AddArgument(kRows, "b");
  Operation* add = Builder(function).Create(kAdd, {a, a}, {}, {});
  EXPECT_EQ(a->uses().size(), 2U);
  add->SetOperand(1, b);
  EXPECT_EQ(a->uses().size(), 1U);
  EXPECT_EQ(b->uses().size(), 1U);
  a->ReplaceAllUsesWith(b);
  EXPECT_FALSE(a->has_uses());
  EXPECT_EQ(b->uses().size(), 2U);
  function->Erase(add);
  EXPECT_FALSE(b->has_uses());
}

TEST(OperationDeathTest, DestroyingAUsedOperationIsABug) {
  Module module("m");
  Function* function = module.AddFunction("f");
  Value* a = function->AddArgument(kRows, "a");
  Operation* first = Builder(function).Create(kAdd, {a, a}, {}, {});
  Builder(function).Create(kAdd, {first->result(), a}, {}, {});
  EXPECT_DEATH(function->Erase(first), "still used");
}

TEST(BuilderDeathTest, RefusesOperandsThatDoNotFit) {
  Module module("m");
  Function* function = module.AddFunction("f");
  Value* a = function->AddArgument(kRows, "a");
  Value* b = function->AddArgument({DType::kF32, {"tokens", int64_t{9}}}, "b");
  EXPECT_DEATH(Builder(function).Create(kAdd, {a, b}, {}, {}), "must be f32<tokens, 8>, but is f32<tokens, 9>");
}

TEST(OpView, NamesOperandsAtCompileTime) {
  Module module("m");
  Function* function = module.AddFunction("f");
  Value* a = function->AddArgument(kRows, "a");
  Operation* add = Builder(function).Create(kAdd, {a, a}, {}, {});
  EXPECT_TRUE(OpView<kAdd>::Matches(add));
  EXPECT_EQ(OpView<kAdd>(*add).operand<"b">(), a);
}

TEST(Function, EraseDeadOpsKeepsWhatIsReturned) {
  Module module("m");
  Function* function = module.AddFunction("f");
  Value* a = function->AddArgument(kRows, "a");
  Operation* kept = Builder(function).Create(kAdd, {a, a}, {}, {});
  Operation* dead = Builder(function).Create(kAdd, {kept->result(), a}, {}, {});
  Builder(function).Create(kAdd, {dead->result(), a}, {}, {});
  function->SetReturns({kept->result()});
  EXPECT_EQ(function->EraseDeadOps(), 2U);
  EXPECT_EQ(function->ops().size(), 1U);
}

TEST(Module, DeadWeightsGoWithTheirSources) {
  Module module("m");
  Weight file;
  file.name = "w";
  file.type = {DType::kF32, {int64_t{2}, int64_t{3}}};
  Weight turned;
  turned.name = "w.T";
  turned.type = {DType::kF32, {int64_t{3}, int64_t{2}}};
  turned.transform = "transpose";
  turned.sources = {module.AddWeight(file)};
  module.AddWeight(turned);
  EXPECT_EQ(module.EraseDeadWeights(), 2U);
}

TEST(Clone, SubstitutesSymbols) {
  Module module("m");
  Function* function = module.AddFunction("f");
  Value* a = function->AddArgument(kRows, "a");
  Operation* add = Builder(function).Create(kAdd, {a, a}, {}, {});
  function->SetReturns({add->result()}, {"y"});
  const Function* one = CloneFunction(module, *function, "one", {{"tokens", Dim(int64_t{1})}});
  EXPECT_EQ(one->returns()[0]->type().ToString(), "f32<1, 8>");
  EXPECT_EQ(a->type(), kRows);
  EXPECT_TRUE(VerifyModule(module).ok());
}

TEST(Registry, EveryNameIsFoundAndUnique) {
  const std::vector<const OpSchema*> schemas = AllOpSchemas();
  for (const OpSchema* schema : schemas) {
    EXPECT_EQ(FindOpSchema(schema->name), schema) << schema->name;
    EXPECT_FALSE(schema->summary.empty()) << schema->name;
  }
  EXPECT_EQ(FindOpSchema("model.nothing"), nullptr);
}

TEST(Text, NumbersKeepTheirKind) {
  const char* text = "module @m at model {a = 1, b = 1.0, c = -inf, d = 1e-05, e = f32<2>[0.1, nan], f = true}{\n}\n";
  absl::StatusOr<std::unique_ptr<Module>> module = ParseModule(text, "t");
  ASSERT_TRUE(module.ok()) << module.status();
  const std::string printed = PrintModule(**module);
  EXPECT_THAT(printed, HasSubstr("{a = 1, b = 1.0, c = -inf, d = 1e-05, e = f32<2>[0.1, nan], f = true}"));
  EXPECT_EQ(PrintModule(**ParseModule(printed, "t")), printed);
}

}  // namespace
}  // namespace dejavu
