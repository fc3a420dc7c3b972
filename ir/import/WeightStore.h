// Where the bytes of weights come from: tensors of files, read by reference, and the weights derived from them.
#ifndef DEJAVU_IR_IMPORT_WEIGHTSTORE_H_
#define DEJAVU_IR_IMPORT_WEIGHTSTORE_H_

#include <cstddef>
#include <map>
#include <memory>
#include <set>
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
  /// Files beside its own that hold tensors.
  [[nodiscard]] virtual std::vector<std::string> OtherFiles() const { return {}; }
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

  /// Reads the weights called `names`, derived ones too, from `source`, which knows them by these names (an artifact's
  /// own weights). Others still come from their files; the error says that `where` does not hold them.
  void RegisterStored(std::string where, std::set<std::string, std::less<>> names,
                      std::shared_ptr<TensorSource> source);

  /// The paths of the files that hold the bytes of `weight`, which is not derived; those beside its own only if that
  /// can be opened.
  [[nodiscard]] std::vector<std::string> FilesOf(const Weight& weight);

  /// Read() shall not compare `weight` with its hash: it was computed from the bytes just read.
  void TrustHash(const Weight& weight) { checked_.insert(HashKey(weight)); }

  /// The weight's bytes, computed from its sources if it is derived. Checks the type and, once, the hash where the
  /// weight has one; the error names the file and the tensor.
  /// Derived weights are computed at every call and not kept.
  [[nodiscard]] absl::StatusOr<WeightData> Read(const Weight& weight);

 private:
  [[nodiscard]] std::string PathOf(const std::string& file) const;
  [[nodiscard]] absl::StatusOr<std::shared_ptr<TensorSource>> OpenSource(const std::string& file) const;
  [[nodiscard]] absl::StatusOr<TensorSource*> Open(const std::string& file);
  [[nodiscard]] absl::StatusOr<WeightData> ReadFromFile(const Weight& weight);
  [[nodiscard]] absl::StatusOr<WeightData> Derive(const Weight& weight);
  [[nodiscard]] absl::Status CheckHash(const Weight& weight, const WeightData& data);
  [[nodiscard]] static std::string HashKey(const Weight& weight);

  std::string folder_;
  std::map<std::string, std::shared_ptr<TensorSource>, std::less<>> sources_;
  std::string stored_where_;
  std::set<std::string, std::less<>> stored_names_;
  std::shared_ptr<TensorSource> stored_;
  std::set<std::string, std::less<>> checked_;  // HashKey() of what was compared already
};

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_WEIGHTSTORE_H_
