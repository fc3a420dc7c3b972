// Compares every ONNX operator with the outputs that make_golden.py recorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "ir/interp/OnnxEval.h"
#include "ir/ops/OnnxOps.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

struct GoldenCase {
  std::string op;
  int opset = 0;
  AttributeMap attributes;
  std::vector<std::optional<Tensor>> inputs;
  std::vector<Tensor> outputs;
};

Tensor TensorFromJson(const Json& json) {
  Tensor tensor = *Tensor::Zeros(*ParseDType(json["dtype"].get<std::string>()), json["dims"]);
  for (size_t i = 0; i < json["data"].size(); ++i) {
    const Json& value = json["data"][i];
    if (!IsFloat(tensor.dtype)) {
      tensor.ints[i] = value;
    } else {
      tensor.floats[i] = value.is_string() ? std::stod(value.get<std::string>()) : value.get<double>();
    }
  }
  return tensor;
}

Attribute AttributeFromJson(const Json& json) {
  if (json.is_object()) {
    return TensorFromJson(json["tensor"]).ToLiteral();
  }
  if (json.is_string()) {
    return json.get<std::string>();
  }
  if (json.is_array()) {
    return json.get<std::vector<int64_t>>();
  }
  return json.is_number_float() ? Attribute(json.get<double>()) : Attribute(json.get<int64_t>());
}

std::vector<GoldenCase> ReadCases() {
  std::ifstream file(DEJAVU_SOURCE_DIR "/tests/unit/interp_onnx/golden.json");
  std::vector<GoldenCase> cases;
  for (const Json& json : Json::parse(file)) {
    GoldenCase golden{json["op"], json["opset"], {}, {}, {}};
    for (const auto& [name, value] : json["attributes"].items()) {
      golden.attributes[name] = AttributeFromJson(value);
    }
    for (const Json& input : json["inputs"]) {
      golden.inputs.push_back(input.is_null() ? std::nullopt : std::optional(TensorFromJson(input)));
    }
    for (const Json& output : json["outputs"]) {
      golden.outputs.push_back(TensorFromJson(output));
    }
    cases.push_back(std::move(golden));
  }
  return cases;
}

const std::map<std::string, std::vector<GoldenCase>>& CasesByOp() {
  static const auto* const kCases = [] {
    auto* map = new std::map<std::string, std::vector<GoldenCase>>();
    for (GoldenCase& golden : ReadCases()) {
      (*map)[golden.op].push_back(std::move(golden));
    }
    return map;
  }();
  return *kCases;
}

std::vector<std::string> Ops() {
  std::vector<std::string> ops;
  for (const auto& [op, cases] : CasesByOp()) {
    ops.push_back(op);
  }
  return ops;
}

absl::StatusOr<std::vector<Tensor>> Evaluate(const GoldenCase& golden, EvalOptions options = {}) {
  std::vector<const Tensor*> inputs;
  for (const auto& input : golden.inputs) {
    inputs.push_back(input ? &*input : nullptr);
  }
  return FindOnnxEval(golden.op)(golden.attributes, inputs, golden.opset, options);
}

void ExpectClose(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(DTypeName(actual.dtype), DTypeName(expected.dtype));
  ASSERT_EQ(actual.dims, expected.dims);
  ASSERT_TRUE(actual.known);
  EXPECT_EQ(actual.ints, expected.ints);
  ASSERT_EQ(actual.floats.size(), expected.floats.size());
  const double tolerance = expected.dtype == DType::kF16 ? 1e-3 : 2e-6;
  for (size_t i = 0; i < expected.floats.size(); ++i) {
    const double want = expected.floats[i];
    const double got = actual.floats[i];
    if (std::isnan(want) || std::isinf(want)) {
      EXPECT_TRUE(std::isnan(want) ? std::isnan(got) : got == want)
          << "element " << i << ": " << got << " for " << want;
    } else {
      EXPECT_NEAR(got, want, tolerance * std::max(1.0, std::fabs(want))) << "element " << i;
    }
  }
}

class Golden : public testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] const std::vector<GoldenCase>& cases() const { return CasesByOp().at(GetParam()); }
};

TEST_P(Golden, Outputs) {
  for (size_t i = 0; i < cases().size(); ++i) {
    SCOPED_TRACE(testing::Message() << GetParam() << " case " << i);
    const auto results = Evaluate(cases()[i]);
    ASSERT_TRUE(results.ok()) << results.status();
    ASSERT_GE(results->size(), cases()[i].outputs.size());
    for (size_t k = 0; k < cases()[i].outputs.size(); ++k) {
      ExpectClose((*results)[k], cases()[i].outputs[k]);
    }
  }
}

TEST_P(Golden, ShapesOfUnknownData) {
  // Range makes its shape from its inputs' contents, whatever their dtype.
  if (GetParam() == "Range") {
    return;
  }
  for (size_t i = 0; i < cases().size(); ++i) {
    SCOPED_TRACE(testing::Message() << GetParam() << " case " << i);
    GoldenCase golden = cases()[i];
    bool changed = false;
    for (auto& input : golden.inputs) {
      if (input && IsFloat(input->dtype)) {
        *input = Tensor::Unknown(input->dtype, input->dims);
        changed = changed || !input->known;
      }
    }
    const auto results = Evaluate(golden);
    ASSERT_TRUE(results.ok()) << results.status();
    for (size_t k = 0; k < golden.outputs.size(); ++k) {
      EXPECT_EQ((*results)[k].dims, golden.outputs[k].dims);
      EXPECT_EQ(DTypeName((*results)[k].dtype), DTypeName(golden.outputs[k].dtype));
      const bool shape_only = GetParam() == "Shape" || GetParam() == "Size" || GetParam() == "CastLike";
      if (!shape_only && golden.outputs[k].NumElements() > 0) {
        EXPECT_EQ((*results)[k].known, !changed);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Onnx, Golden, testing::ValuesIn(Ops()), [](const auto& test) { return test.param; });

TEST(GoldenCoverage, EveryOperatorHasASchemaAndACase) {
  std::vector<std::string> schemas;
  for (const OpSchema& schema : OnnxOpSchemas()) {
    const std::string op(schema.name.substr(std::string_view("onnx.").size()));
    EXPECT_NE(FindOnnxEval(op), nullptr) << op;
    schemas.push_back(op);
  }
  EXPECT_THAT(Ops(), testing::UnorderedElementsAreArray(schemas));
}

}  // namespace
}  // namespace dejavu
