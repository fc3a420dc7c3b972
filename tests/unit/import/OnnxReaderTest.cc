// How the reader turns parts of a file into the IR: constants, weights, types, names and the order of nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <cstring>

#include "ir/import/OnnxNames.h"
#include "ir/import/OnnxReader.h"
#include "ir/interp/Interpreter.h"
#include "ir/text/Printer.h"

namespace dejavu {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A file with one input `x`, f32<batch, 4>, and the output `y`; tests add nodes and tensors.
class ModelProto {
 public:
  ModelProto() {
    proto_.set_ir_version(8);
    proto_.add_opset_import()->set_version(17);
    AddDim("batch").set_dim_value(4);
    proto_.mutable_graph()->add_output()->set_name("y");
  }

  onnx::ModelProto& proto() { return proto_; }
  onnx::GraphProto& graph() { return *proto_.mutable_graph(); }

  onnx::NodeProto& AddNode(const std::string& op, const std::vector<std::string>& inputs,
                           const std::vector<std::string>& outputs) {
    onnx::NodeProto& node = *graph().add_node();
    node.set_op_type(op);
    for (const std::string& input : inputs) {
      node.add_input(input);
    }
    for (const std::string& output : outputs) {
      node.add_output(output);
    }
    return node;
  }

  onnx::TensorProto& AddTensor(const std::string& name, int type, const std::vector<int64_t>& dims) {
    onnx::TensorProto& tensor = *graph().add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const int64_t dim : dims) {
      tensor.add_dims(dim);
    }
    return tensor;
  }

  absl::StatusOr<std::unique_ptr<Module>> Read() {
    const std::string bytes = proto_.SerializeAsString();
    return ReadOnnxBytes(std::as_bytes(std::span(bytes)), "test.onnx", "", &weights_);
  }
  WeightStore& weights() { return weights_; }

 private:
  onnx::TensorShapeProto::Dimension& AddDim(const std::string& first) {
    onnx::ValueInfoProto& input = *graph().add_input();
    input.set_name("x");
    onnx::TypeProto::Tensor& type = *input.mutable_type()->mutable_tensor_type();
    type.set_elem_type(onnx::TensorProto::FLOAT);
    type.mutable_shape()->add_dim()->set_dim_param(first);
    return *type.mutable_shape()->add_dim();
  }

  onnx::ModelProto proto_;
  WeightStore weights_;
};

std::vector<std::string> OpNames(const Module& module) {
  std::vector<std::string> names;
  for (const auto& op : module.functions()[0]->ops()) {
    names.emplace_back(op->name());
  }
  return names;
}

const Operation& OpCalled(const Module& module, std::string_view node) {
  for (const auto& op : module.functions()[0]->ops()) {
    if (op->location().node == node) {
      return *op;
    }
  }
  ADD_FAILURE() << "no op from " << node;
  return *module.functions()[0]->ops().front();
}

TEST(OnnxReader, SmallTensorsAreConstantsAndOthersWeights) {
  ModelProto model;
  model.AddTensor("ints", onnx::TensorProto::INT64, {2}).mutable_int64_data()->Add(7);
  model.graph().mutable_initializer(0)->add_int64_data(int64_t{1} << 62);
  model.AddTensor("scale", onnx::TensorProto::FLOAT, {}).add_float_data(0.25F);
  model.AddTensor("bias", onnx::TensorProto::FLOAT, {4}).set_raw_data(std::string(16, '\0'));
  model.AddNode("Mul", {"x", "scale"}, {"s"});
  model.AddNode("Add", {"s", "bias"}, {"z"});
  model.AddNode("Reshape", {"z", "ints"}, {"y"});
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_THAT(OpNames(**module), ElementsAre("onnx.Constant", "onnx.Mul", "onnx.Add", "onnx.Constant", "onnx.Reshape"));
  EXPECT_EQ(*OpCalled(**module, "ints").GetAttribute<TensorLiteral>("value"),
            (TensorLiteral{DType::kI64, {2}, {}, {7, int64_t{1} << 62}}));
  const Weight* bias = (*module)->FindWeight("bias");
  ASSERT_NE(bias, nullptr);
  EXPECT_EQ(bias->type.ToString(), "f32<4>");
  EXPECT_EQ(bias->file, "test.onnx");
  EXPECT_EQ(bias->hash.size(), 16U);
  EXPECT_EQ((*module)->weights().size(), 1U);
  EXPECT_EQ((*module)->IntAttribute("opset"), 17);
}

TEST(OnnxReader, ReadsEveryTypedField) {
  ModelProto model;
  const auto add = [&](const std::string& name, int type) -> onnx::TensorProto& {
    return model.AddTensor(name, type, {2});
  };
  add("f16", onnx::TensorProto::FLOAT16).mutable_int32_data()->Add(0x3C00);
  add("bf16", onnx::TensorProto::BFLOAT16).mutable_int32_data()->Add(0x3F80);
  add("bool", onnx::TensorProto::BOOL).mutable_int32_data()->Add(1);
  add("i8", onnx::TensorProto::INT8).mutable_int32_data()->Add(-3);
  add("i32", onnx::TensorProto::INT32).mutable_int32_data()->Add(-70000);
  for (onnx::TensorProto& tensor : *model.graph().mutable_initializer()) {
    tensor.add_int32_data(0);
  }
  add("f64", onnx::TensorProto::DOUBLE).add_double_data(1e300);
  model.graph().mutable_initializer(5)->add_double_data(0);
  model.AddNode("Identity", {"x"}, {"y"});
  for (const char* name : {"f16", "bf16", "bool", "i8", "i32", "f64"}) {
    model.AddNode("Identity", {name}, {absl::StrCat(name, "_out")});
  }
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  const auto first = [&](const std::string& name) {
    const Weight* weight = (*module)->FindWeight(name);
    if (weight == nullptr) {
      return Tensor::FromLiteral(*OpCalled(**module, name).GetAttribute<TensorLiteral>("value")).At(0);
    }
    return ToTensor(*model.weights().Read(*weight)).At(0);
  };
  EXPECT_EQ(first("f16"), 1);
  EXPECT_EQ(first("bf16"), 1);
  EXPECT_EQ(first("bool"), 1);
  EXPECT_EQ(first("i8"), -3);
  EXPECT_EQ(first("i32"), -70000);
  EXPECT_EQ(first("f64"), 1e300);
}

TEST(OnnxReader, ReadsConstantNodes) {
  ModelProto model;
  const auto add = [&](const std::string& name, onnx::AttributeProto::AttributeType type) -> onnx::AttributeProto& {
    onnx::AttributeProto& attribute = *model.AddNode("Constant", {}, {name}).add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
  };
  add("value_int", onnx::AttributeProto::INT).set_i(5);
  add("value_ints", onnx::AttributeProto::INTS).add_ints(6);
  add("value_float", onnx::AttributeProto::FLOAT).set_f(0.5F);
  add("value_floats", onnx::AttributeProto::FLOATS).add_floats(1.5F);
  onnx::TensorProto& big = *add("value", onnx::AttributeProto::TENSOR).mutable_t();
  big.set_data_type(onnx::TensorProto::FLOAT);
  big.add_dims(4);
  big.set_raw_data(std::string(16, '\0'));
  model.AddNode("Add", {"x", "value"}, {"y"});
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_EQ(PrintAttributes(OpCalled(**module, "Constant#0").attributes()), "{value = i64<>[5]}");
  EXPECT_EQ(PrintAttributes(OpCalled(**module, "Constant#1").attributes()), "{value = i64<1>[6]}");
  EXPECT_EQ(PrintAttributes(OpCalled(**module, "Constant#2").attributes()), "{value = f32<>[0.5]}");
  EXPECT_EQ(PrintAttributes(OpCalled(**module, "Constant#3").attributes()), "{value = f32<1>[1.5]}");
  ASSERT_NE((*module)->FindWeight("value"), nullptr);
  EXPECT_TRUE(model.weights().Read(*(*module)->FindWeight("value")).ok());
}

TEST(OnnxReader, OrdersNodesAndKeepsAnOrderThatIsThere) {
  ModelProto model;
  model.AddNode("Relu", {"b"}, {"y"});
  model.AddNode("Neg", {"x"}, {"a"});
  model.AddNode("Abs", {"a"}, {"b"});
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_THAT(OpNames(**module), ElementsAre("onnx.Neg", "onnx.Abs", "onnx.Relu"));
}

TEST(OnnxReader, TypesResults) {
  ModelProto model;
  model.AddNode("Shape", {"x"}, {"s"});
  model.AddNode("Cast", {"s"}, {"f"}).add_attribute()->set_name("to");
  model.graph().mutable_node(1)->mutable_attribute(0)->set_type(onnx::AttributeProto::INT);
  model.graph().mutable_node(1)->mutable_attribute(0)->set_i(onnx::TensorProto::FLOAT16);
  model.AddNode("IsNaN", {"f"}, {"n"});
  model.AddNode("Where", {"n", "f", "f"}, {"w"});
  model.AddNode("Relu", {"x"}, {"y"});
  onnx::ValueInfoProto& info = *model.graph().add_value_info();
  info.set_name("s");
  info.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(2);
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  std::vector<std::string> types;
  for (const auto& op : (*module)->functions()[0]->ops()) {
    types.push_back(op->result()->type().ToString());
  }
  EXPECT_THAT(types, ElementsAre("i64<2>", "f16<unranked>", "bool<unranked>", "f16<unranked>", "f32<unranked>"));
}

TEST(OnnxReader, NamesArgumentsReturnsAndDimensions) {
  ModelProto model;
  onnx::TensorShapeProto& shape =
      *model.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape();
  shape.mutable_dim(0)->set_dim_param("past + 1");
  shape.add_dim()->set_dim_param("past - 1");
  shape.add_dim()->set_dim_param("7up");
  shape.add_dim()->set_dim_param("past + 1");
  shape.add_dim();
  model.AddNode("Relu", {"x"}, {"y"});
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  const Function& main = *(*module)->functions()[0];
  EXPECT_EQ(main.name(), "main");
  EXPECT_EQ(main.argument(0)->name(), "x");
  EXPECT_EQ(main.argument(0)->type().ToString(), "f32<past___1, 4, d0_2, d0_3, past___1, d0_5>");
  EXPECT_THAT(main.return_names(), ElementsAre("y"));
}

TEST(OnnxReader, InitialisersAmongTheInputsAreConstants) {
  ModelProto model;
  model.AddTensor("scale", onnx::TensorProto::FLOAT, {}).add_float_data(2);
  model.graph().add_input()->set_name("scale");
  model.AddNode("Mul", {"x", "scale"}, {"y"});
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  EXPECT_EQ((*module)->functions()[0]->num_arguments(), 1U);
}

TEST(OnnxReader, SplitsKnowTheirNumberOfParts) {
  ModelProto model;
  onnx::NodeProto& split = model.AddNode("Split", {"x"}, {"a", "y"});
  split.add_attribute()->set_name("axis");
  split.mutable_attribute(0)->set_type(onnx::AttributeProto::INT);
  split.mutable_attribute(0)->set_i(1);
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  const Operation& op = *(*module)->functions()[0]->ops().front();
  EXPECT_EQ(op.GetAttribute<int64_t>("num_outputs"), 2);
  EXPECT_EQ(op.num_results(), 2U);
  Tensor x = *Tensor::Zeros(DType::kF32, {1, 4});
  x.floats = {1, 2, 3, 4};
  const auto results = Interpreter(**module, nullptr, {}).Run(*(*module)->functions()[0], {x});
  EXPECT_THAT((*results)[0].floats, ElementsAre(3, 4));
}

TEST(OnnxReader, FloatAttributesAreTheDecimalsThatTheyStandFor) {
  ModelProto model;
  model.AddTensor("one", onnx::TensorProto::FLOAT, {4}).set_raw_data(std::string(16, '\0'));
  onnx::AttributeProto& epsilon = *model.AddNode("LayerNormalization", {"x", "one", ""}, {"y", "", ""}).add_attribute();
  epsilon.set_name("epsilon");
  epsilon.set_type(onnx::AttributeProto::FLOAT);
  epsilon.set_f(1e-5F);
  const auto module = model.Read();
  ASSERT_TRUE(module.ok()) << module.status();
  const Operation& op = *(*module)->functions()[0]->ops().front();
  EXPECT_EQ(op.GetAttribute<double>("epsilon"), 1e-5);
  EXPECT_EQ(op.num_results(), 1U);
  EXPECT_EQ(op.operand("bias"), nullptr);
}

TEST(OnnxNames, QuotesAndChecksNames) {
  EXPECT_EQ(QuotedName("layers.0/fc1"), "'layers.0/fc1'");
  EXPECT_EQ(QuotedName("caf\xC3\xA9"), "'caf\xC3\xA9'");
  EXPECT_EQ(QuotedName("a\nb"), "'a\\nb'");
  EXPECT_LT(QuotedName(std::string(9999, 'x')).size(), 300U);
  EXPECT_TRUE(CheckName("\xF0\x9F\x98\x80", "it").ok());
  for (const char* bad : {"\x80", "\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "a\x7F"}) {
    EXPECT_FALSE(CheckName(bad, "it").ok()) << QuotedName(bad);
  }
}

TEST(OnnxNames, DimSymbolsAreDistinctIdentifiers) {
  DimSymbols symbols;
  EXPECT_EQ(symbols.Get("a+b", "d0_0"), "a_b");
  EXPECT_EQ(symbols.Get("a-b", "d0_1"), "d0_1");
  EXPECT_EQ(symbols.Get("a+b", "d1_0"), "a_b");
  EXPECT_EQ(symbols.Get("", "d0_1"), "d0_1_1");
  EXPECT_EQ(symbols.Get("d0_1", "d2_0"), "d2_0");
}

}  // namespace
}  // namespace dejavu
