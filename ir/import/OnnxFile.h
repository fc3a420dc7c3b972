// An ONNX file's protobuf and its tensors, inline or in files beside it.
#ifndef DEJAVU_IR_IMPORT_ONNXFILE_H_
#define DEJAVU_IR_IMPORT_ONNXFILE_H_

#include <onnx/onnx_pb.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ir/import/WeightStore.h"

namespace dejavu {

/// A parsed model. Every tensor that it stores, as an initialiser or as the value of a Constant node, has been checked
/// and can be read under its value's name. Immutable and thread-safe; the bytes it hands out keep what they need alive.
class OnnxFile : public TensorSource {
 public:
  /// Reads `path`; external data is looked for in its folder. Faults are user errors that name the file and the tensor.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<OnnxFile>> Open(const std::string& path);
  /// Reads a file that is in memory; `name` is for messages and `folder` has the external data. Copies what it needs.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<OnnxFile>> Parse(std::span<const std::byte> bytes,
                                                                       const std::string& name,
                                                                       const std::string& folder);

  [[nodiscard]] const onnx::ModelProto& model() const { return *model_; }
  /// The tensor that the file stores for the value `tensor`, or null. Valid as long as this object.
  [[nodiscard]] const WeightData* Find(std::string_view tensor) const;
  [[nodiscard]] absl::StatusOr<WeightData> Read(std::string_view tensor) const override;
  /// Those with external data.
  [[nodiscard]] std::vector<std::string> OtherFiles() const override { return external_; }

 private:
  OnnxFile(std::string name, std::shared_ptr<const onnx::ModelProto> model)
      : name_(std::move(name)), model_(std::move(model)) {}
  absl::Status ReadTensors(const std::string& folder);

  std::string name_;
  std::shared_ptr<const onnx::ModelProto> model_;
  std::map<std::string, WeightData, std::less<>> tensors_;
  std::vector<std::string> external_;
};

/// The tensor as a literal, every element exact.
[[nodiscard]] TensorLiteral ToLiteral(const WeightData& data);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_ONNXFILE_H_
