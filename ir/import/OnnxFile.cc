#include "ir/import/OnnxFile.h"

#include <google/protobuf/io/coded_stream.h>

#include <limits>

#include "ir/base/FileUtil.h"
#include "ir/base/MappedFile.h"
#include "ir/import/OnnxNames.h"
#include "ir/import/OnnxTensors.h"

namespace dejavu {
namespace {

/// IR version 13 came with opset 24; later ones may change what the fields mean.
constexpr int64_t kNewestIrVersion = 13;

absl::Status CheckModel(const onnx::ModelProto& model) {
  if (!model.has_ir_version() || !model.has_graph()) {
    return UserError("is not an ONNX model: it has no graph or no ir_version");
  }
  if (model.ir_version() < 3 || model.ir_version() > kNewestIrVersion) {
    return UserError("has the ONNX IR version ", model.ir_version(), ", but 3 to ", kNewestIrVersion,
                     " are supported; export it with another version of the onnx package");
  }
  if (model.graph().sparse_initializer_size() > 0) {
    return UserError("tensor ", QuotedName(model.graph().sparse_initializer(0).values().name()),
                     " is a sparse initialiser, which is not supported; store the weights dense");
  }
  return absl::OkStatus();
}

/// The tensor in a Constant node's `value` attribute, or null.
const onnx::TensorProto* ConstantTensor(const onnx::NodeProto& node) {
  if (node.op_type() != "Constant" || node.output_size() != 1) {
    return nullptr;
  }
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == "value" && attribute.has_t()) {
      return &attribute.t();
    }
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<std::shared_ptr<OnnxFile>> OnnxFile::Open(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Parse(file.bytes(), path, ParentDirectory(path));
}

absl::StatusOr<std::shared_ptr<OnnxFile>> OnnxFile::Parse(std::span<const std::byte> bytes, const std::string& name,
                                                          const std::string& folder) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return UserError(name,
                     ": is larger than 2 GB, the most that ONNX's format allows in one file; export the model "
                     "with external data");
  }
  auto model = std::make_shared<onnx::ModelProto>();
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t*>(bytes.data()),
                                                static_cast<int>(bytes.size()));
  stream.SetTotalBytesLimit(std::numeric_limits<int>::max());
  if (!model->ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage()) {
    return UserError(name, ": is not an ONNX model, or is truncated");
  }
  RETURN_IF_ERROR(WithContext(CheckModel(*model), name));
  std::shared_ptr<OnnxFile> file(new OnnxFile(name, std::move(model)));
  RETURN_IF_ERROR(WithContext(file->ReadTensors(folder), name));
  return file;
}

absl::Status OnnxFile::ReadTensors(const std::string& folder) {
  OnnxTensorReader reader(folder, model_);
  const auto add = [&](const std::string& name, const onnx::TensorProto& tensor) -> absl::Status {
    RETURN_IF_ERROR(CheckName(name, "tensor"));
    absl::StatusOr<WeightData> data = reader.Read(tensor);
    if (!data.ok()) {
      return WithContext(data.status(), absl::StrCat("tensor ", QuotedName(name)));
    }
    if (name.empty() || !tensors_.emplace(name, *std::move(data)).second) {
      return UserError("tensor ", QuotedName(name), name.empty() ? " has no name" : " is stored twice");
    }
    return absl::OkStatus();
  };
  for (const onnx::TensorProto& tensor : model_->graph().initializer()) {
    RETURN_IF_ERROR(add(tensor.name(), tensor));
  }
  for (const onnx::NodeProto& node : model_->graph().node()) {
    if (const onnx::TensorProto* tensor = ConstantTensor(node); tensor != nullptr) {
      RETURN_IF_ERROR(add(node.output(0), *tensor));
    }
  }
  external_ = reader.ExternalFiles();
  return absl::OkStatus();
}

const WeightData* OnnxFile::Find(std::string_view tensor) const {
  const auto it = tensors_.find(tensor);
  return it == tensors_.end() ? nullptr : &it->second;
}

absl::StatusOr<WeightData> OnnxFile::Read(std::string_view tensor) const {
  const WeightData* data = Find(tensor);
  if (data == nullptr) {
    return UserError(name_, ": has no tensor ", QuotedName(tensor));
  }
  return *data;
}

TensorLiteral ToLiteral(const WeightData& data) {
  TensorLiteral literal{data.dtype, data.dims, {}, {}};
  const size_t count = data.bytes / DTypeSize(data.dtype);
  for (size_t i = 0; i < count; ++i) {
    if (IsFloat(data.dtype)) {
      literal.floats.push_back(LoadAsDouble(data.dtype, data.data, i));
    } else {
      const int64_t value = LoadAsInteger(data.dtype, data.data, i);
      literal.ints.push_back(data.dtype == DType::kBool && value != 0 ? 1 : value);
    }
  }
  return literal;
}

absl::StatusOr<std::shared_ptr<TensorSource>> OpenOnnxSource(const std::string& path) { return OnnxFile::Open(path); }

}  // namespace dejavu
