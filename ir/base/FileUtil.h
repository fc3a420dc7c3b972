// Reading and writing files with every error checked; messages start with the path.
#ifndef DEJAVU_IR_BASE_FILEUTIL_H_
#define DEJAVU_IR_BASE_FILEUTIL_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dejavu {

/// "PATH: WHAT: reason" as a user error; `error_number` is an errno value. A full disk says what to do.
[[nodiscard]] absl::Status FileError(const std::string& path, const std::string& what, int error_number);

/// An open regular file to read; closes itself.
class InputFile {
 public:
  /// Missing and unreadable files and everything that is not a regular file are user errors that name the path.
  [[nodiscard]] static absl::StatusOr<InputFile> Open(const std::string& path);

  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  [[nodiscard]] int descriptor() const { return descriptor_; }
  /// Bytes in the file when it was opened.
  [[nodiscard]] size_t size() const { return size_; }

 private:
  InputFile(int descriptor, size_t size) : descriptor_(descriptor), size_(size) {}

  int descriptor_;
  size_t size_;
};

/// A file being written. Unless Finish() succeeds, the destructor removes it, so nothing half-written stays behind.
class OutputFile {
 public:
  /// Creates `path`, or empties it where it exists.
  [[nodiscard]] static absl::StatusOr<OutputFile> Create(const std::string& path) { return Create(path, path); }
  /// The same; errors call the file `name`, as the user knows it.
  [[nodiscard]] static absl::StatusOr<OutputFile> Create(const std::string& path, const std::string& name);

  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  ~OutputFile();

  /// Appends all of `bytes`. After an error the file is of no use; drop the object.
  [[nodiscard]] absl::Status Write(std::span<const std::byte> bytes);
  [[nodiscard]] absl::Status Write(std::string_view text);
  /// Syncs to disk and closes; call once, last.
  [[nodiscard]] absl::Status Finish();

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  OutputFile(std::string path, std::string name, int descriptor);
  absl::Status Close();

  std::string path_;
  std::string name_;  // in errors
  int descriptor_;
  bool remove_ = true;
};

/// The whole file as bytes. A file above `max_bytes` is a user error, so that a wrong path cannot fill the memory.
[[nodiscard]] absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes = size_t{1} << 30);

/// Replaces `path` by `contents`: readers see the old file or the new one, also after a crash.
[[nodiscard]] absl::Status WriteFileAtomically(const std::string& path, std::string_view contents);

/// An error if WriteFileAtomically(path) would fail to create its file: to be asked before long work.
[[nodiscard]] absl::Status CheckCanCreate(const std::string& path);

/// Syncs the entries of directory `path`, after which files created in it or renamed into it survive a crash.
[[nodiscard]] absl::Status SyncDirectory(const std::string& path);

/// The folder that holds `path`: "a/b" gives "a", "b" gives ".", "/b" gives "/".
[[nodiscard]] std::string ParentDirectory(const std::string& path);

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_FILEUTIL_H_
