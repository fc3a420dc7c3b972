#include "ir/import/OnnxAttributes.h"

#include <array>
#include <charconv>

#include "ir/import/OnnxFile.h"
#include "ir/import/OnnxNames.h"
#include "ir/import/OnnxTensors.h"

namespace dejavu {
namespace {

double ShortestDecimal(float value) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  double result = value;
  std::from_chars(text.data(), end, result);
  return result;
}

absl::StatusOr<Attribute> ReadTensor(const onnx::TensorProto& tensor) {
  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    return UserError("is a tensor in another file, which is supported for weights only");
  }
  // The bytes are copied into the literal before `tensor` can go away, so no owner is needed.
  OnnxTensorReader reader("", nullptr);
  ASSIGN_OR_RETURN(const WeightData data, reader.Read(tensor));
  TensorLiteral literal = ToLiteral(data);
  if (literal.floats.size() + literal.ints.size() > kMostLiteralElements) {
    return UserError("is a tensor of more than ", kMostLiteralElements, " elements");
  }
  return literal;
}

absl::StatusOr<Attribute> ReadAttribute(const onnx::AttributeProto& attribute) {
  if (!attribute.ref_attr_name().empty()) {
    return UserError("refers to an attribute of a function, which is not supported");
  }
  switch (attribute.type()) {
    case onnx::AttributeProto::FLOAT:
      return ShortestDecimal(attribute.f());
    case onnx::AttributeProto::INT:
      return static_cast<int64_t>(attribute.i());
    case onnx::AttributeProto::STRING:
      RETURN_IF_ERROR(CheckName(attribute.s(), "the string"));
      return attribute.s();
    case onnx::AttributeProto::INTS:
      return std::vector<int64_t>(attribute.ints().begin(), attribute.ints().end());
    case onnx::AttributeProto::TENSOR:
      return ReadTensor(attribute.t());
    case onnx::AttributeProto::GRAPH:
    case onnx::AttributeProto::GRAPHS:
      return UserError("is a graph: control flow is not supported; export the model without branches and loops");
    default:
      return UserError("has the type number ", static_cast<int>(attribute.type()),
                       "; supported are numbers, strings, lists of integers and tensors");
  }
}

}  // namespace

absl::StatusOr<AttributeMap> ReadAttributes(const onnx::NodeProto& node) {
  AttributeMap attributes;
  for (const onnx::AttributeProto& proto : node.attribute()) {
    const std::string what = absl::StrCat("attribute ", QuotedName(proto.name()));
    absl::StatusOr<Attribute> attribute = ReadAttribute(proto);
    if (!attribute.ok()) {
      return WithContext(attribute.status(), what);
    }
    if (!attributes.emplace(proto.name(), *std::move(attribute)).second) {
      return UserError(what, " is given twice");
    }
  }
  return attributes;
}

absl::StatusOr<TensorLiteral> ReadConstantList(const onnx::NodeProto& node) {
  if (node.attribute_size() != 1) {
    return UserError("has ", node.attribute_size(), " attributes, but needs one");
  }
  const onnx::AttributeProto& attribute = node.attribute(0);
  if (attribute.name() == "value_int") {
    return TensorLiteral{DType::kI64, {}, {}, {attribute.i()}};
  }
  if (attribute.name() == "value_ints") {
    return TensorLiteral{DType::kI64, {attribute.ints_size()}, {}, {attribute.ints().begin(), attribute.ints().end()}};
  }
  if (attribute.name() == "value_float") {
    return TensorLiteral{DType::kF32, {}, {attribute.f()}, {}};
  }
  if (attribute.name() == "value_floats") {
    return TensorLiteral{
        DType::kF32, {attribute.floats_size()}, {attribute.floats().begin(), attribute.floats().end()}, {}};
  }
  return UserError("attribute ", QuotedName(attribute.name()), " is not supported; constants are tensors or numbers");
}

}  // namespace dejavu
