// Where the bytes of weights come from: tensors of files, read by reference, and the weights derived from them.
#ifndef DEJAVU_IR_IMPORT_WEIGHTSTORE_H_
#define DEJAVU_IR_IMPORT_WEIGHTSTORE_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/DType.h"
#include "ir/base/Status.h"
#include "ir/core/Value.h"

namespace dejavu {

/// A tensor's bytes, row-major and packed. `owner` keeps `data` alive (a mapped file or a buffer); copies share it.
struct WeightData {
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
  std::shared_ptr<const void> owner;
  const std::byte* data = nullptr;
  size_t bytes = 0;

  [[nodiscard]] Type type() const { return {dtype, Shape(dims.begin(), dims.end())}; }
};

/// The tensors of one file. Thread-safe once made.
class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// The tensor called `tensor`; the bytes stay valid while the returned owner lives.
  [[nodiscard]] virtual absl::StatusOr<WeightData> Read(std::string_view tensor) const = 0;
};

/// Maps a .safetensors file.
[[nodiscard]] absl::StatusOr<std::shared_ptr<TensorSource>> OpenSafetensorsSource(const std::string& path);

/// Reads the initialisers of a .onnx file and of its external data files. Defined with the ONNX reader.
[[nodiscard]] absl::StatusOr<std::shared_ptr<TensorSource>> OpenOnnxSource(const std::string& path);

/// Finds the bytes of a module's weights. Opens each file once, when it is first needed. Not thread-safe.
class WeightStore {
 public:
  /// `folder`: what relative file names in weights are relative to ("" is the current folder).
  explicit WeightStore(std::string folder = "") : folder_(std::move(folder)) {}

  /// Gives the file name `file` to an already opened source (an importer's, so that nothing is read twice).
  void Register(const std::string& file, std::shared_ptr<TensorSource> source) { sources_[file] = std::move(source); }

  /// The weight's bytes, computed from its sources if it is derived. Checks the type; the error names the weight.
  /// Derived weights are computed at every call and not kept.
  [[nodiscard]] absl::StatusOr<WeightData> Read(const Weight& weight);

 private:
  [[nodiscard]] absl::StatusOr<std::shared_ptr<TensorSource>> OpenSource(const std::string& file) const;
  [[nodiscard]] absl::StatusOr<TensorSource*> Open(const std::string& file);
  std::string folder_;
  std::map<std::string, std::shared_ptr<TensorSource>, std::less<>> sources_;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_WEIGHTSTORE_H_
