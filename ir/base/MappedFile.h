// Read-only memory maps of whole files.
#ifndef DEJAVU_IR_BASE_MAPPEDFILE_H_
#define DEJAVU_IR_BASE_MAPPEDFILE_H_

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace dejavu {

/// A whole regular file mapped read-only; the map lives as long as the object and moves with it (addresses stay).
/// Any number of threads may read. A file that another process shortens while it is mapped faults on access, so
/// writers replace files by renaming and never in place.
class MappedFile {
 public:
  /// Maps `path`. Missing, unreadable and empty files, directories and devices are user errors that name the path.
  [[nodiscard]] static absl::StatusOr<MappedFile> Open(const std::string& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  /// Page aligned; null only after the object was moved from.
  [[nodiscard]] const std::byte* data() const { return data_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// The path as it was given to Open(), for messages.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const std::byte* data, size_t size);
  void Unmap();

  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_MAPPEDFILE_H_
