// What the golden cases cannot show: errors, hostile sizes, unknown contents, arithmetic without rounding.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "ir/interp/OnnxEval.h"

namespace dejavu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Tensor Floats(std::vector<int64_t> dims, std::vector<double> values, DType dtype = DType::kF32) {
  Tensor tensor = *Tensor::Zeros(dtype, std::move(dims));
  tensor.floats = std::move(values);
  return tensor;
}

absl::StatusOr<std::vector<Tensor>> Eval(std::string_view op, const std::vector<Tensor>& inputs,
                                         const AttributeMap& attributes = {}, int opset = 17,
                                         EvalOptions options = {}) {
  std::vector<const Tensor*> pointers;
  for (const Tensor& input : inputs) {
    pointers.push_back(&input);
  }
  return FindOnnxEval(op)(attributes, pointers, opset, options);
}

std::string ErrorOf(const absl::StatusOr<std::vector<Tensor>>& results) {
  return results.ok() ? "no error" : std::string(results.status().message());
}

TEST(OnnxEval, UnknownOperatorsHaveNoFunction) {
  EXPECT_EQ(FindOnnxEval("Gelu"), nullptr);
  EXPECT_EQ(FindOnnxEval(""), nullptr);
  EXPECT_EQ(FindOnnxEval("Zzz"), nullptr);
  EXPECT_NE(FindOnnxEval("Abs"), nullptr);
  EXPECT_NE(FindOnnxEval("Xor"), nullptr);
}

TEST(OnnxEval, ChecksTheNumberOfInputs) {
  const Tensor x = Floats({1}, {1});
  EXPECT_THAT(ErrorOf(Eval("Add", {x})), HasSubstr("has 1 inputs, but takes 2"));
  EXPECT_THAT(ErrorOf(Eval("Slice", {x})), HasSubstr("takes 3 to 5"));
  const std::vector<const Tensor*> absent = {&x, nullptr};
  EXPECT_THAT(ErrorOf(FindOnnxEval("Add")({}, absent, 17, {})), HasSubstr("input #1 is required"));
  EXPECT_THAT(ErrorOf(FindOnnxEval("Max")({}, absent, 17, {})), HasSubstr("input #1 is required"));
}

TEST(OnnxEval, ChecksElementTypes) {
  const Tensor x = Floats({1}, {1});
  EXPECT_THAT(ErrorOf(Eval("Add", {x, Tensor::Vector({1})})), HasSubstr("f32 and i64"));
  EXPECT_THAT(ErrorOf(Eval("And", {x, x})), HasSubstr("must be bool, but is f32"));
  EXPECT_THAT(ErrorOf(Eval("Sqrt", {Tensor::Vector({1})})), HasSubstr("must be a float tensor, but is i64"));
  EXPECT_THAT(ErrorOf(Eval("Cast", {x}, {{"to", int64_t{8}}})), HasSubstr("number 8"));
  EXPECT_THAT(ErrorOf(Eval("Gather", {x, x})), HasSubstr("indices must be i64 or i32"));
}

TEST(OnnxEval, ChecksAttributeKinds) {
  const Tensor x = Floats({2, 2}, {1, 2, 3, 4});
  EXPECT_THAT(ErrorOf(Eval("Softmax", {x}, {{"axis", 1.0}})), HasSubstr("'axis' must be an integer"));
  EXPECT_THAT(ErrorOf(Eval("Transpose", {x}, {{"perm", int64_t{1}}})), HasSubstr("'perm' must be a list of integers"));
  EXPECT_THAT(ErrorOf(Eval("Transpose", {x}, {{"perm", std::vector<int64_t>{0, 0}}})), HasSubstr("not a permutation"));
  EXPECT_THAT(ErrorOf(Eval("Constant", {})), HasSubstr("'value' must be a tensor"));
  EXPECT_THAT(ErrorOf(Eval("Concat", {x})), HasSubstr("'axis' is required"));
}

TEST(OnnxEval, RefusesResultsThatAreTooLarge) {
  EXPECT_THAT(ErrorOf(Eval("ConstantOfShape", {Tensor::Vector({1 << 30, 1 << 30})})), HasSubstr("2^31"));
  EXPECT_THAT(ErrorOf(Eval("ConstantOfShape", {Tensor::Vector({1 << 30})})), HasSubstr("computed here"));
  EXPECT_THAT(ErrorOf(Eval("ConstantOfShape", {Tensor::Vector({5})}, {}, 17, {.max_elements = 4})),
              HasSubstr("more than 4 elements"));
  EXPECT_THAT(
      ErrorOf(Eval("Range", {Tensor::Scalar(0), Tensor::Scalar(9), Tensor::Scalar(1)}, {}, 17, {.max_elements = 4})),
      HasSubstr("too long"));
  EXPECT_THAT(ErrorOf(Eval("ConstantOfShape", {Tensor::Vector({-1})})), HasSubstr("negative"));
  EXPECT_THAT(ErrorOf(Eval("Expand", {Floats({1}, {1}), Tensor::Vector({1 << 20, 1 << 20})})), HasSubstr("2^31"));
  EXPECT_THAT(ErrorOf(Eval("Tile", {Floats({1}, {1}), Tensor::Vector({int64_t{1} << 62})})), HasSubstr("times"));
  const int64_t far = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(ErrorOf(Eval("Range", {Tensor::Scalar(-far), Tensor::Scalar(far), Tensor::Scalar(1)})),
              HasSubstr("too long"));
  EXPECT_THAT(ErrorOf(Eval("Reshape", {Floats({1}, {1}), Tensor::Vector({far, far})})), HasSubstr("too many elements"));
  const Tensor big = Tensor::Unknown(DType::kF32, {1 << 16, 1});
  EXPECT_THAT(ErrorOf(Eval("MatMul", {big, Tensor::Unknown(DType::kF32, {1, 1 << 16})})), HasSubstr("2^31"));
}

TEST(OnnxEval, RefusesIndicesOutOfRange) {
  const Tensor x = Floats({2, 2}, {1, 2, 3, 4});
  EXPECT_THAT(ErrorOf(Eval("Gather", {x, Tensor::Vector({2})})), HasSubstr("index 2 is out of range"));
  EXPECT_THAT(ErrorOf(Eval("GatherElements", {x, Floats({1, 1}, {0})})), HasSubstr("indices must be"));
  Tensor indices = Tensor::Vector({-3});
  indices.dims = {1, 1};
  EXPECT_THAT(ErrorOf(Eval("GatherND", {x, indices})), HasSubstr("index -3"));
  EXPECT_THAT(ErrorOf(Eval("GatherElements", {x, indices})), HasSubstr("index -3"));
  EXPECT_THAT(ErrorOf(Eval("ScatterND", {x, indices, Floats({1, 2}, {0, 0})})), HasSubstr("index -3"));
  EXPECT_THAT(ErrorOf(Eval("Softmax", {x}, {{"axis", int64_t{2}}})), HasSubstr("axis 2 is out of range"));
}

TEST(OnnxEval, IntegerArithmeticNeverTraps) {
  const int64_t lowest = std::numeric_limits<int64_t>::min();
  EXPECT_THAT((*Eval("Div", {Tensor::Vector({lowest}), Tensor::Vector({-1})}))[0].ints, ElementsAre(lowest));
  EXPECT_THAT((*Eval("Mod", {Tensor::Vector({lowest}), Tensor::Vector({-1})}))[0].ints, ElementsAre(0));
  EXPECT_THAT((*Eval("Neg", {Tensor::Vector({lowest})}))[0].ints, ElementsAre(lowest));
  EXPECT_THAT((*Eval("Add", {Tensor::Vector({lowest}), Tensor::Vector({-1})}))[0].ints,
              ElementsAre(std::numeric_limits<int64_t>::max()));
  EXPECT_THAT(ErrorOf(Eval("Div", {Tensor::Vector({1}), Tensor::Vector({0})})), HasSubstr("division by zero"));
  EXPECT_THAT(ErrorOf(Eval("Range", {Tensor::Scalar(0), Tensor::Scalar(1), Tensor::Scalar(0)})), HasSubstr("delta"));
  const Tensor wild = Floats({4}, {1e300, -1e300, std::nan(""), 1e10});
  EXPECT_THAT((*Eval("Cast", {wild}, {{"to", int64_t{6}}}))[0].ints,
              ElementsAre(2147483647, -2147483648LL, 0, 2147483647));
  EXPECT_THAT((*Eval("Cast", {wild}, {{"to", int64_t{7}}}))[0].ints,
              ElementsAre(std::numeric_limits<int64_t>::max(), lowest, 0, 10000000000));
}

TEST(OnnxEval, SlicesWithExtremeBoundsAndSteps) {
  const int64_t lowest = std::numeric_limits<int64_t>::min();
  const int64_t highest = std::numeric_limits<int64_t>::max();
  const Tensor x = Tensor::Vector({0, 1, 2, 3});
  const auto slice = [&](int64_t start, int64_t end, int64_t step) {
    return Eval("Slice",
                {x, Tensor::Vector({start}), Tensor::Vector({end}), Tensor::Vector({0}), Tensor::Vector({step})});
  };
  EXPECT_THAT((*slice(lowest, highest, 1))[0].ints, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT((*slice(highest, lowest, -1))[0].ints, ElementsAre(3, 2, 1, 0));
  EXPECT_THAT((*slice(0, highest, highest))[0].ints, ElementsAre(0));
  EXPECT_THAT((*slice(-1, lowest, -highest))[0].ints, ElementsAre(3));
  EXPECT_THAT(ErrorOf(slice(0, 4, 0)), HasSubstr("steps of 0"));
  EXPECT_THAT(ErrorOf(slice(3, 0, lowest)), HasSubstr("steps of"));
}

TEST(OnnxEval, ShapesThatDependOnUnknownDataAreErrors) {
  const Tensor x = Floats({4}, {1, 2, 3, 4});
  const Tensor unknown = Tensor::Unknown(DType::kI64, {1});
  EXPECT_THAT(ErrorOf(Eval("Reshape", {x, unknown})), HasSubstr("depends on 'shape'"));
  EXPECT_THAT(ErrorOf(Eval("Expand", {x, unknown})), HasSubstr("depends on 'shape'"));
  EXPECT_THAT(ErrorOf(Eval("ReduceSum", {x, unknown})), HasSubstr("depends on 'axes'"));
  const Tensor scalar = Tensor::Unknown(DType::kI64, {});
  EXPECT_THAT(ErrorOf(Eval("Range", {scalar, scalar, scalar})), HasSubstr("computed from weights"));
}

TEST(OnnxEval, KnownIndicesOfUnknownDataGiveShapes) {
  const Tensor table = Tensor::Unknown(DType::kBF16, {50272, 768});
  const auto rows = Eval("Gather", {table, Tensor::Vector({3, 5})});
  EXPECT_FALSE((*rows)[0].known);
  EXPECT_THAT((*rows)[0].dims, ElementsAre(2, 768));
  EXPECT_EQ((*rows)[0].dtype, DType::kBF16);
  EXPECT_THAT((*Eval("Shape", {table}))[0].ints, ElementsAre(50272, 768));
}

TEST(OnnxEval, RoundsOnlyWhenAsked) {
  const Tensor x = Floats({1}, {1});
  const Tensor three = Floats({1}, {3});
  EXPECT_EQ((*Eval("Div", {x, three}))[0].floats[0], static_cast<double>(1.0F / 3.0F));
  EXPECT_EQ((*Eval("Div", {x, three}, {}, 17, {.round = false}))[0].floats[0], 1.0 / 3.0);
  const Tensor tenth = Floats({1}, {0.1}, DType::kF64);
  EXPECT_EQ((*Eval("Cast", {tenth}, {{"to", int64_t{16}}}))[0].floats[0], 0.10009765625);
  EXPECT_EQ((*Eval("Cast", {tenth}, {{"to", int64_t{16}}}, 17, {.round = false}))[0].floats[0], 0.1);
}

TEST(OnnxEval, RefusesDropoutInTraining) {
  Tensor training = Tensor::Scalar(1);
  training.dtype = DType::kBool;
  EXPECT_THAT(ErrorOf(Eval("Dropout", {Floats({1}, {1}), Floats({}, {0.5}), training})), HasSubstr("training mode"));
}

TEST(OnnxEval, RefusesPartsThatDoNotFit) {
  const Tensor x = Floats({2, 2}, {1, 2, 3, 4});
  const AttributeMap axis = {{"axis", int64_t{0}}};
  EXPECT_THAT(ErrorOf(Eval("Concat", {x, Floats({1, 3}, {1, 2, 3})}, axis)), HasSubstr("cannot join"));
  EXPECT_THAT(ErrorOf(Eval("Concat", {x, Floats({2}, {1, 2})}, axis)), HasSubstr("cannot join"));
  EXPECT_THAT(ErrorOf(Eval("Split", {x, Tensor::Vector({1, 2})}, axis)), HasSubstr("into parts of [1, 2]"));
  EXPECT_THAT(ErrorOf(Eval("Split", {x}, axis)), HasSubstr("into 0 outputs"));
  EXPECT_THAT(ErrorOf(Eval("Reshape", {x, Tensor::Vector({3, -1})})), HasSubstr("cannot take the shape [3, 1]"));
  EXPECT_THAT(ErrorOf(Eval("Reshape", {x, Tensor::Vector({-1, -1})})), HasSubstr("-1 more than once"));
  EXPECT_THAT(ErrorOf(Eval("Squeeze", {x, Tensor::Vector({0})})), HasSubstr("cannot be squeezed"));
  EXPECT_THAT(ErrorOf(Eval("Unsqueeze", {x, Tensor::Vector({0, 0})})), HasSubstr("given twice"));
  EXPECT_THAT(ErrorOf(Eval("MatMul", {x, Floats({3, 1}, {1, 2, 3})})), HasSubstr("cannot multiply shapes"));
  EXPECT_THAT(ErrorOf(Eval("Gemm", {x, Floats({3, 1}, {1, 2, 3})})), HasSubstr("cannot multiply shapes"));
  EXPECT_THAT(ErrorOf(Eval("LayerNormalization", {x, Floats({3}, {1, 2, 3})})), HasSubstr("do not broadcast"));
}

}  // namespace
}  // namespace dejavu
