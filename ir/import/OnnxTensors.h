// Decodes TensorProtos: raw bytes, typed fields and external data.
#ifndef DEJAVU_IR_IMPORT_ONNXTENSORS_H_
#define DEJAVU_IR_IMPORT_ONNXTENSORS_H_

#include <onnx/onnx_pb.h>

#include <map>
#include <memory>
#include <string>

#include "ir/base/MappedFile.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// Decodes the tensors of one file. Not thread-safe.
class OnnxTensorReader {
 public:
  /// `folder` holds the external data files; `owner` keeps the TensorProtos alive.
  OnnxTensorReader(std::string folder, std::shared_ptr<const void> owner)
      : folder_(std::move(folder)), owner_(std::move(owner)) {}

  /// The tensor's bytes: where they are for raw and external data, else converted. Errors do not name the tensor.
  [[nodiscard]] absl::StatusOr<WeightData> Read(const onnx::TensorProto& tensor);
  /// The paths of the external data files so far.
  [[nodiscard]] std::vector<std::string> ExternalFiles() const;

 private:
  absl::Status ReadExternal(const onnx::TensorProto& tensor, WeightData& data);
  /// Maps `location`, once. It must be a relative path to a file below the folder, also behind symbolic links.
  absl::StatusOr<std::shared_ptr<const MappedFile>> Map(const std::string& location);

  std::string folder_;
  std::shared_ptr<const void> owner_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_ONNXTENSORS_H_
