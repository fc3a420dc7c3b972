#include "ir/base/FileUtil.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <utility>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

// Kernels transfer at most 2 GiB a call; a smaller round number keeps every call complete on a healthy disk.
constexpr size_t kMaxTransfer = size_t{1} << 30;

}  // namespace

absl::Status FileError(const std::string& path, const std::string& what, int error_number) {
  const char* advice = "";
  if (error_number == ENOSPC || error_number == EDQUOT) {
    advice = "; free some space or write to another disk";
  } else if (error_number == EFBIG) {
    advice = "; the file system or a limit of this process (ulimit -f) allows no larger files";
  }
  return UserError(path, ": ", what, ": ", std::generic_category().message(error_number), advice);
}

absl::StatusOr<InputFile> InputFile::Open(const std::string& path) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    return FileError(path, "cannot open the file", errno);
  }
  InputFile file(descriptor, 0);
  struct stat info = {};
  if (fstat(descriptor, &info) != 0) {
    return FileError(path, "cannot examine the file", errno);
  }
  if (S_ISDIR(info.st_mode)) {
    return UserError(path, ": is a directory, but a file is needed");
  }
  if (!S_ISREG(info.st_mode)) {
    return UserError(path, ": is not a regular file");
  }
  file.size_ = static_cast<size_t>(info.st_size);
  return file;
}

InputFile::InputFile(InputFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

absl::StatusOr<OutputFile> OutputFile::Create(const std::string& path, const std::string& name) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    return FileError(name, "cannot create the file", errno);
  }
  return OutputFile(path, name, descriptor);
}

OutputFile::OutputFile(std::string path, std::string name, int descriptor)
    : path_(std::move(path)), name_(std::move(name)), descriptor_(descriptor) {
  struct stat info = {};
  // A device such as /dev/full must outlive a failed write to it.
  remove_ = fstat(descriptor_, &info) == 0 && S_ISREG(info.st_mode);
}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)),
      name_(std::move(other.name_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      remove_(std::exchange(other.remove_, false)) {}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
  if (remove_) {
    unlink(path_.c_str());
  }
}

absl::Status OutputFile::Write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor_, bytes.data(), std::min(bytes.size(), kMaxTransfer));
    if (written < 0) {
      if (errno == EINTR) {
        continue;
      }
      return FileError(name_, "cannot write", errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status OutputFile::Write(std::string_view text) { return Write(std::as_bytes(std::span(text))); }

absl::Status OutputFile::Finish() {
  if (fsync(descriptor_) != 0) {
    return FileError(name_, "cannot write to disk", errno);
  }
  RETURN_IF_ERROR(Close());
  remove_ = false;
  return absl::OkStatus();
}

absl::Status OutputFile::Close() {
  if (close(std::exchange(descriptor_, -1)) != 0) {
    return FileError(name_, "cannot close", errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, size_t max_bytes) {
  ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
  if (file.size() > max_bytes) {
    return UserError(path, ": has ", file.size(), " bytes, more than the ", max_bytes,
                     " allowed for this kind of file");
  }
  std::string text(file.size(), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t count = read(file.descriptor(), text.data() + done, std::min(text.size() - done, kMaxTransfer));
    if (count < 0) {
      if (errno == EINTR) {
        continue;
      }
      return FileError(path, "cannot read", errno);
    }
    if (count == 0) {
      return UserError(path, ": became shorter while it was read");
    }
    done += static_cast<size_t>(count);
  }
  return text;
}

namespace {

absl::Status WriteInPlace(const std::string& path, std::string_view contents) {
  const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return FileError(path, "cannot open to write", errno);
  }
  size_t done = 0;
  while (done < contents.size()) {
    const ssize_t count = write(descriptor, contents.data() + done, contents.size() - done);
    if (count < 0 && errno != EINTR) {
      const int error_number = errno;
      close(descriptor);
      return FileError(path, "cannot write", error_number);
    }
    done += count > 0 ? static_cast<size_t>(count) : 0;
  }
  return close(descriptor) == 0 ? absl::OkStatus() : FileError(path, "cannot write", errno);
}

/// Devices and pipes must not become files.
bool IsSpecialFile(const std::string& path) {
  struct stat existing = {};
  return stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode);
}

std::string TemporaryName(const std::string& path) {
  static std::atomic<unsigned> counter = 0;
  return absl::StrCat(path, ".tmp-", getpid(), "-", counter.fetch_add(1));
}

/// Holds back the signals by which users end programs, so that none leaves a temporary file behind.
class SignalDelay {
 public:
  SignalDelay() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      sigaddset(&signals, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals, &before_);
  }
  SignalDelay(const SignalDelay&) = delete;
  SignalDelay& operator=(const SignalDelay&) = delete;
  ~SignalDelay() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_ = {};
};

}  // namespace

absl::Status CheckCanCreate(const std::string& path) {
  return IsSpecialFile(path) ? absl::OkStatus() : OutputFile::Create(TemporaryName(path), path).status();
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view contents) {
  if (IsSpecialFile(path)) {
    return WriteInPlace(path, contents);
  }
  const SignalDelay delay;
  const std::string temporary = TemporaryName(path);
  {
    ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(temporary, path));
    RETURN_IF_ERROR(file.Write(contents));
    RETURN_IF_ERROR(file.Finish());
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error_number = errno;
    unlink(temporary.c_str());
    return FileError(path, "cannot replace the file", error_number);
  }
  return SyncDirectory(ParentDirectory(path));
}

absl::Status SyncDirectory(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    return FileError(path, "cannot open the directory", errno);
  }
  const int error_number = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  // Some network file systems cannot sync directories and say EINVAL.
  if (error_number != 0 && error_number != EINVAL) {
    return FileError(path, "cannot write the directory to disk", error_number);
  }
  return absl::OkStatus();
}

std::string ParentDirectory(const std::string& path) {
  const size_t last = path.find_last_not_of('/');
  if (last == std::string::npos) {
    return path.empty() ? "." : "/";
  }
  const size_t slash = path.find_last_of('/', last);
  if (slash == std::string::npos) {
    return ".";
  }
  const size_t end = path.find_last_not_of('/', slash);
  return end == std::string::npos ? "/" : path.substr(0, end + 1);
}

}  // namespace dejavu
