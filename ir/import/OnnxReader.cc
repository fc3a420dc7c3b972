#include "ir/import/OnnxReader.h"

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "ir/base/Hash.h"
#include "ir/core/Builder.h"
#include "ir/core/Inference.h"
#include "ir/import/OnnxAttributes.h"
#include "ir/import/OnnxFile.h"
#include "ir/import/OnnxNames.h"
#include "ir/import/OnnxOrder.h"
#include "ir/ops/OnnxOps.h"
#include "ir/ops/OnnxTypes.h"
#include "ir/ops/Registry.h"

namespace dejavu {
namespace {

constexpr int64_t kOldestOpset = 11;
constexpr int64_t kNewestOpset = 21;

bool IsStandardDomain(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

/// Whether a stored tensor stands in the program instead of being a weight: shapes, axes, scales and masks.
bool IsLiteral(const WeightData& data) {
  const size_t count = data.bytes / DTypeSize(data.dtype);
  return IsFloat(data.dtype) ? count == 1 && data.dims.size() <= 1 : count <= kMostLiteralElements;
}

/// Builds the module of one file.
class GraphBuilder {
 public:
  /// `path`: what weights say as their file.
  GraphBuilder(const OnnxFile& file, std::string path, Module* module)
      : graph_(file.model().graph()), file_(file), path_(std::move(path)), module_(module) {}

  absl::Status Build();

 private:
  absl::Status ReadOpset();
  absl::Status AddArgument(const onnx::ValueInfoProto& input, int index);
  absl::Status ReadShapes();
  absl::Status AddNode(int index);
  absl::Status AddConstantNode(int index);
  absl::Status AddReturns();
  absl::StatusOr<const OpSchema*> FindSchema(const onnx::NodeProto& node) const;
  absl::StatusOr<std::vector<Value*>> Operands(const onnx::NodeProto& node);
  absl::StatusOr<std::vector<Type>> ResultTypes(const OpSchema& schema, const onnx::NodeProto& node, int outputs,
                                                const std::vector<Value*>& operands, const AttributeMap& attributes);
  absl::StatusOr<Shape> ReadShape(const onnx::TensorShapeProto& proto, const std::string& symbol_prefix);
  /// The value called `name`, which has been defined; a stored tensor enters the program here, at its first use.
  Value* Use(const std::string& name);
  Value* AddLiteral(const std::string& name, TensorLiteral literal, Location location);
  Value* AddStored(const std::string& name, const WeightData& data, Location location);

  const onnx::GraphProto& graph_;
  const OnnxFile& file_;
  std::string path_;
  Module* module_;
  Function* function_ = nullptr;
  DimSymbols symbols_;
  std::map<std::string, Value*> values_;
  std::map<std::string, Shape> shapes_;  // what the file says of the nodes' outputs
};

absl::Status GraphBuilder::ReadOpset() {
  std::optional<int64_t> opset;
  for (const onnx::OperatorSetIdProto& import : file_.model().opset_import()) {
    if (IsStandardDomain(import.domain())) {
      opset = import.version();
    }
  }
  if (!opset) {
    return UserError("names no version of ONNX's operators (opset_import)");
  }
  if (*opset < kOldestOpset || *opset > kNewestOpset) {
    return UserError("uses opset ", *opset, ", but ", kOldestOpset, " to ", kNewestOpset,
                     " are supported; export it again with opset_version=17 or another of these");
  }
  module_->SetAttribute("opset", *opset);
  return absl::OkStatus();
}

absl::StatusOr<Shape> GraphBuilder::ReadShape(const onnx::TensorShapeProto& proto, const std::string& symbol_prefix) {
  Shape shape;
  for (int i = 0; i < proto.dim_size(); ++i) {
    const onnx::TensorShapeProto::Dimension& dim = proto.dim(i);
    if (!dim.has_dim_value()) {
      shape.emplace_back(symbols_.Get(dim.dim_param(), absl::StrCat(symbol_prefix, "_", i)));
      continue;
    }
    if (dim.dim_value() < 0) {
      return UserError("has the negative dimension ", dim.dim_value());
    }
    shape.emplace_back(dim.dim_value());
  }
  return shape;
}

absl::Status GraphBuilder::AddArgument(const onnx::ValueInfoProto& input, int index) {
  RETURN_IF_ERROR(CheckName(input.name(), "the input"));
  const std::string what = absl::StrCat("input ", QuotedName(input.name()));
  const onnx::TypeProto::Tensor& tensor = input.type().tensor_type();
  if (!input.type().has_tensor_type() || !tensor.has_shape()) {
    return UserError(what, " is not a tensor with a known number of dimensions");
  }
  const std::optional<DType> dtype = DTypeFromOnnx(tensor.elem_type());
  if (!dtype) {
    return UserError(what, " has ONNX's element type number ", tensor.elem_type(), ", which is not supported");
  }
  absl::StatusOr<Shape> shape = ReadShape(tensor.shape(), absl::StrCat("d", index));
  if (!shape.ok()) {
    return WithContext(shape.status(), what);
  }
  Value* argument = function_->AddArgument(Type{*dtype, *std::move(shape)}, input.name());
  if (input.name().empty() || !values_.emplace(input.name(), argument).second) {
    return UserError(what, input.name().empty() ? " has no name" : " is listed twice");
  }
  return absl::OkStatus();
}

absl::Status GraphBuilder::ReadShapes() {
  for (const onnx::ValueInfoProto& info : graph_.value_info()) {
    if (!info.type().has_tensor_type() || !info.type().tensor_type().has_shape()) {
      continue;
    }
    absl::StatusOr<Shape> shape = ReadShape(info.type().tensor_type().shape(), "unknown");
    if (!shape.ok()) {
      return WithContext(shape.status(), absl::StrCat("value ", QuotedName(info.name())));
    }
    shapes_[info.name()] = *std::move(shape);
  }
  return absl::OkStatus();
}

Value* GraphBuilder::AddLiteral(const std::string& name, TensorLiteral literal, Location location) {
  static const OpSchema* const kConstant = FindOpSchema("onnx.Constant");
  Type type{literal.dtype, Shape(literal.dims.begin(), literal.dims.end())};
  Operation* op = Builder(function_).CreateTyped(*kConstant, {}, {{"value", std::move(literal)}}, {std::move(type)},
                                                 std::move(location));
  op->result()->set_name(name);
  return values_[name] = op->result();
}

Value* GraphBuilder::AddStored(const std::string& name, const WeightData& data, Location location) {
  if (IsLiteral(data)) {
    return AddLiteral(name, ToLiteral(data), std::move(location));
  }
  Weight weight;
  weight.name = name;
  weight.type = data.type();
  weight.file = path_;
  weight.tensor = name;
  weight.hash = HashText(Hash64({data.data, data.bytes}));
  return values_[name] = module_->AddWeight(std::move(weight))->value;
}

Value* GraphBuilder::Use(const std::string& name) {
  if (const auto it = values_.find(name); it != values_.end()) {
    return it->second;
  }
  return AddStored(name, *file_.Find(name), Location{name});
}

absl::StatusOr<const OpSchema*> GraphBuilder::FindSchema(const onnx::NodeProto& node) const {
  for (const onnx::FunctionProto& function : file_.model().functions()) {
    if (function.name() == node.op_type() && function.domain() == node.domain()) {
      return UserError("calls the function ", QuotedName(absl::StrCat(node.domain(), "::", node.op_type())),
                       " of the file; inline its functions (onnx.inliner.inline_local_functions)");
    }
  }
  const OpSchema* schema =
      IsStandardDomain(node.domain()) ? FindOpSchema(absl::StrCat("onnx.", node.op_type())) : nullptr;
  if (schema == nullptr) {
    const std::string full_name =
        IsStandardDomain(node.domain()) ? node.op_type() : absl::StrCat(node.domain(), "::", node.op_type());
    return UserError("op ", QuotedName(full_name), " is not supported; expected one of the standard ONNX operators ",
                     "that exporters write for OPT (listed in ir/ops/OPS.md)");
  }
  return schema;
}

absl::StatusOr<std::vector<Value*>> GraphBuilder::Operands(const onnx::NodeProto& node) {
  std::vector<Value*> operands;
  for (const std::string& input : node.input()) {
    operands.push_back(input.empty() ? nullptr : Use(input));
  }
  while (!operands.empty() && operands.back() == nullptr) {
    operands.pop_back();
  }
  return operands;
}

absl::StatusOr<std::vector<Type>> GraphBuilder::ResultTypes(const OpSchema& schema, const onnx::NodeProto& node,
                                                            int outputs, const std::vector<Value*>& operands,
                                                            const AttributeMap& attributes) {
  std::vector<Type> types;
  for (int i = 0; i < outputs; ++i) {
    ASSIGN_OR_RETURN(const DType dtype, OnnxResultDType(schema, operands, attributes, static_cast<size_t>(i)));
    const auto it = shapes_.find(node.output(i));
    types.push_back({dtype, it != shapes_.end() ? it->second : Shape{Dim(kUnranked)}});
  }
  return types;
}

absl::Status GraphBuilder::AddConstantNode(int index) {
  const onnx::NodeProto& node = graph_.node(index);
  if (node.input_size() != 0 || node.output_size() != 1 || node.output(0).empty()) {
    return UserError("a constant has no inputs and one output");
  }
  RETURN_IF_ERROR(CheckName(node.output(0), "the output"));
  const Location location{NodeName(graph_, index)};
  if (const WeightData* data = file_.Find(node.output(0)); data != nullptr) {
    AddStored(node.output(0), *data, location);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(TensorLiteral literal, ReadConstantList(node));
  AddLiteral(node.output(0), std::move(literal), location);
  return absl::OkStatus();
}

absl::Status GraphBuilder::AddNode(int index) {
  const onnx::NodeProto& node = graph_.node(index);
  RETURN_IF_ERROR(CheckName(node.name(), "the node"));
  ASSIGN_OR_RETURN(const OpSchema* schema, FindSchema(node));
  if (node.op_type() == "Constant") {
    return AddConstantNode(index);
  }
  int outputs = node.output_size();
  while (outputs > 0 && node.output(outputs - 1).empty()) {
    --outputs;
  }
  if (outputs == 0) {
    return UserError("has no output");
  }
  ASSIGN_OR_RETURN(AttributeMap attributes, ReadAttributes(node));
  ASSIGN_OR_RETURN(const std::vector<Value*> operands, Operands(node));
  if (node.op_type() == "Split" && operands.size() < 2 && !attributes.contains("split")) {
    // Before opset 18 the number of equal parts is told by the outputs alone.
    attributes.emplace("num_outputs", static_cast<int64_t>(outputs));
  }
  RETURN_IF_ERROR(MatchOperands(*schema, operands).status());
  ASSIGN_OR_RETURN(std::vector<Type> types, ResultTypes(*schema, node, outputs, operands, attributes));
  const Operation* op = Builder(function_).CreateTyped(*schema, operands, std::move(attributes), std::move(types),
                                                       Location{NodeName(graph_, index)});
  for (int i = 0; i < outputs; ++i) {
    RETURN_IF_ERROR(CheckName(node.output(i), "the output"));
    op->result(i)->set_name(node.output(i));
    if (!node.output(i).empty()) {
      values_[node.output(i)] = op->result(i);
    }
  }
  return VerifyOperation(*op);
}

absl::Status GraphBuilder::AddReturns() {
  std::vector<Value*> values;
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const onnx::ValueInfoProto& output : graph_.output()) {
    const std::string what = absl::StrCat("output ", QuotedName(output.name()));
    if (!values_.contains(output.name()) && file_.Find(output.name()) == nullptr) {
      return UserError(what, " is not computed by a node");
    }
    if (!seen.insert(output.name()).second) {
      return UserError(what, " is listed twice");
    }
    Value* value = Use(output.name());
    if (value->weight() != nullptr) {
      return UserError(what, " is a stored tensor; expected a value that the model computes");
    }
    values.push_back(value);
    names.push_back(output.name());
  }
  if (values.empty()) {
    return UserError("the graph has no outputs");
  }
  function_->SetReturns(std::move(values), std::move(names));
  return absl::OkStatus();
}

absl::Status GraphBuilder::Build() {
  RETURN_IF_ERROR(ReadOpset());
  function_ = module_->AddFunction("main");
  std::set<std::string> given;
  for (const onnx::TensorProto& tensor : graph_.initializer()) {
    given.insert(tensor.name());
  }
  for (int i = 0; i < graph_.input_size(); ++i) {
    // Before IR version 4 initialisers were listed among the inputs; they still are constants here.
    if (!given.contains(graph_.input(i).name())) {
      RETURN_IF_ERROR(AddArgument(graph_.input(i), i));
    }
  }
  for (const auto& [name, value] : values_) {
    given.insert(name);
  }
  RETURN_IF_ERROR(ReadShapes());
  ASSIGN_OR_RETURN(const std::vector<int> order, OrderNodes(graph_, given));
  for (const int index : order) {
    if (absl::Status status = AddNode(index); !status.ok()) {
      return WithContext(status, absl::StrCat("node ", DescribeNode(graph_, index)));
    }
  }
  return AddReturns();
}

absl::StatusOr<std::unique_ptr<Module>> BuildModule(std::shared_ptr<OnnxFile> file, const std::string& path,
                                                    WeightStore* store) {
  auto module = std::make_unique<Module>(std::filesystem::path(path).stem().string());
  RETURN_IF_ERROR(WithContext(GraphBuilder(*file, path, module.get()).Build(), path));
  store->Register(path, std::move(file));
  for (const auto& weight : module->weights()) {
    store->TrustHash(*weight);
  }
  return module;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Module>> ReadOnnx(const std::string& path, WeightStore* store) {
  ASSIGN_OR_RETURN(std::shared_ptr<OnnxFile> file, OnnxFile::Open(path));
  return BuildModule(std::move(file), path, store);
}

absl::StatusOr<std::unique_ptr<Module>> ReadOnnxBytes(std::span<const std::byte> bytes, const std::string& name,
                                                      const std::string& folder, WeightStore* store) {
  ASSIGN_OR_RETURN(std::shared_ptr<OnnxFile> file, OnnxFile::Parse(bytes, name, folder));
  return BuildModule(std::move(file), name, store);
}

}  // namespace dejavu
