#include "tools/driver/ModelInput.h"

#include <filesystem>

#include "ir/import/HuggingFaceReader.h"
#include "ir/import/OnnxReader.h"

namespace dejavu {

absl::StatusOr<std::unique_ptr<Module>> ReadModel(const std::string& input, WeightStore* store) {
  if (input.ends_with(".onnx")) {
    return ReadOnnx(input, store);
  }
  std::error_code error;
  if (std::filesystem::is_directory(input, error)) {
    return ReadHuggingFace(input, store);
  }
  if (!std::filesystem::exists(input, error)) {
    return UserError(input, ": no such file or directory");
  }
  return UserError(input, ": INPUT must be a .onnx file, a Hugging Face directory, .dv text or a .dejavu artifact");
}

}  // namespace dejavu
