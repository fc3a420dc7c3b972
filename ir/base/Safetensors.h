// Safetensors files: named tensors behind a JSON header. A reader that trusts nothing and a writer that streams.
#ifndef DEJAVU_IR_BASE_SAFETENSORS_H_
#define DEJAVU_IR_BASE_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ir/base/DType.h"
#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/MappedFile.h"

namespace dejavu {

/// One tensor of a file; `data` points into the file's map and lives as long as that.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;        // none for a scalar; row-major
  const std::byte* data = nullptr;  // 64-byte aligned in files that DejaVu wrote, of any alignment in others
  size_t bytes = 0;                 // product of dims times the dtype's size
};

/// What the writer must know of a tensor before its bytes come.
struct TensorSpec {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
};

/// "F32" for kF32 and so on; nothing for kIndex, which has no safetensors name.
[[nodiscard]] std::optional<std::string_view> SafetensorsDTypeName(DType dtype);

/// Whether `name` is a filler that SafetensorsWriter put between tensors to align the next one.
[[nodiscard]] bool IsPaddingTensor(std::string_view name);

/// The tensors of one file. Immutable; any number of threads may read.
class Safetensors {
 public:
  /// Maps and checks the file; every fault is a user error that names the file and the tensor. Tensor bytes are not
  /// read.
  [[nodiscard]] static absl::StatusOr<Safetensors> Open(const std::string& path);
  /// Checks a file that is in memory. The views point into `bytes`, which must outlive them; `name` is for messages.
  [[nodiscard]] static absl::StatusOr<Safetensors> Parse(std::span<const std::byte> bytes, const std::string& name);

  /// In the order of their bytes in the file, fillers included.
  [[nodiscard]] const std::vector<TensorView>& tensors() const { return tensors_; }
  /// Null when the file has no such tensor. Valid as long as this object is not moved or destroyed.
  [[nodiscard]] const TensorView* Find(std::string_view name) const;
  /// As Find(), but a missing tensor is a user error that names file and tensor.
  [[nodiscard]] absl::StatusOr<const TensorView*> Get(std::string_view name) const;
  /// The header's `__metadata__` strings.
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// The path or name given to Open() or Parse().
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Safetensors() = default;

  std::string path_;
  std::optional<MappedFile> file_;
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a file whose tensors all start at multiples of 64 bytes from the file's start. The format allows no holes, so
/// a u8 tensor named `__pad__.N` fills each gap. Until Finish() succeeds, destroying the writer removes the file.
class SafetensorsWriter {
 public:
  /// Writes the header. Names must be UTF-8, distinct and not start with `__`.
  [[nodiscard]] static absl::StatusOr<SafetensorsWriter> Create(const std::string& path, std::vector<TensorSpec> specs);

  /// The next bytes of the current tensor: the first of `specs` that is not complete. One call never reaches past the
  /// current tensor's end; tensors without elements are skipped.
  [[nodiscard]] absl::Status Append(std::span<const std::byte> bytes);
  /// Syncs and closes the file, once every tensor is complete. Returns each tensor's XXH3 hash, in the order of
  /// `specs`.
  [[nodiscard]] absl::StatusOr<std::vector<uint64_t>> Finish();

 private:
  SafetensorsWriter(OutputFile file, std::vector<TensorSpec> specs, std::vector<size_t> sizes);
  absl::Status CompleteTensors();

  OutputFile file_;
  std::vector<TensorSpec> specs_;
  std::vector<size_t> sizes_;  // bytes of each tensor
  size_t done_ = 0;            // bytes of the current tensor that are written; its number is hashes_.size()
  Hasher hasher_;
  std::vector<uint64_t> hashes_;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_SAFETENSORS_H_
