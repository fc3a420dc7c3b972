#include "runtime/artifact/WeightFile.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "ir/base/Hash.h"
#include "ir/base/MappedFile.h"
#include "ir/base/Status.h"

namespace dejavu {
namespace {

// Between two reports of progress.
constexpr size_t kHashChunk = size_t{16} << 20;
constexpr size_t kMaxHashThreads = 16;

absl::Status VerifyHeader(const Safetensors& file, const Manifest& manifest) {
  const std::optional<uint64_t> expected = manifest.files.at(kWeightsFile).header_xxh3;
  if (!expected.has_value()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const MappedFile map, MappedFile::Open(file.path()));
  ASSIGN_OR_RETURN(const std::span<const std::byte> header, SafetensorsHeader(map.bytes()));
  const uint64_t actual = Hash64(header);
  if (actual != *expected) {
    return DamagedFileError(file.path(), absl::StrCat("its header has the XXH3 hash ", HashText(*expected)),
                            HashText(actual));
  }
  return absl::OkStatus();
}

absl::Status VerifyPadding(const Safetensors& file) {
  for (const TensorView& tensor : file.tensors()) {
    const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
    if (IsPaddingTensor(tensor.name) && !std::all_of(tensor.data, tensor.data + tensor.bytes, is_zero)) {
      return DamagedFileError(file.path(), absl::StrCat("filler '", tensor.name, "' is zero"), "other bytes");
    }
  }
  return absl::OkStatus();
}

/// Hashes tensors from a shared list until it is empty or one is found damaged.
class TensorVerifier {
 public:
  TensorVerifier(const Safetensors& file, const Manifest& manifest, const std::set<std::string>& skipped,
                 const HashProgress& progress)
      : path_(file.path()), manifest_(manifest), progress_(progress) {
    for (const TensorView& tensor : file.tensors()) {
      if (!IsPaddingTensor(tensor.name) && !skipped.contains(tensor.name)) {
        tensors_.push_back(&tensor);
        total_ += static_cast<int64_t>(tensor.bytes);
      }
    }
    // The longest first, so that no thread starts a long one when the others are done.
    std::stable_sort(tensors_.begin(), tensors_.end(),
                     [](const TensorView* a, const TensorView* b) { return a->bytes > b->bytes; });
  }

  absl::Status Run() {
    const size_t cores = std::max(1U, std::thread::hardware_concurrency());
    std::vector<std::thread> helpers;
    for (size_t i = 1; i < std::min({cores, kMaxHashThreads, tensors_.size()}); ++i) {
      helpers.emplace_back([this] { Work(); });
    }
    Work();
    for (std::thread& helper : helpers) {
      helper.join();
    }
    return error_;
  }

 private:
  void Work() {
    for (size_t i = next_.fetch_add(1); i < tensors_.size() && !failed_.load(); i = next_.fetch_add(1)) {
      Verify(*tensors_[i]);
    }
  }

  void Verify(const TensorView& tensor) {
    Hasher hasher;
    std::span<const std::byte> rest(tensor.data, tensor.bytes);
    while (!rest.empty() && !failed_.load()) {
      const size_t count = std::min(rest.size(), kHashChunk);
      hasher.Update(rest.first(count));
      rest = rest.subspan(count);
      Report(static_cast<int64_t>(count));
    }
    const uint64_t expected = manifest_.tensors.at(tensor.name);
    if (hasher.Digest() != expected && !failed_.exchange(true)) {
      error_ = DamagedTensorError(path_, tensor.name, expected, hasher.Digest());
    }
  }

  void Report(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ += bytes;
    if (progress_) {
      progress_(done_, total_);
    }
  }

  const std::string& path_;
  const Manifest& manifest_;
  const HashProgress& progress_;
  std::vector<const TensorView*> tensors_;
  int64_t total_ = 0;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  absl::Status error_;  // written by the one thread that sets failed_, read after all have joined
  std::mutex mutex_;
  int64_t done_ = 0;
};

}  // namespace

absl::StatusOr<std::span<const std::byte>> SafetensorsHeader(std::span<const std::byte> file) {
  uint64_t length = 0;
  if (file.size() < sizeof(length)) {
    return UserError("is too short for a safetensors file");
  }
  for (size_t i = 0; i < sizeof(length); ++i) {
    length |= static_cast<uint64_t>(file[i]) << (8 * i);
  }
  if (length > file.size() - sizeof(length)) {
    return UserError("its safetensors header ends past the file's end");
  }
  return file.first(sizeof(length) + static_cast<size_t>(length));
}

absl::Status DamagedFileError(const std::string& path, const std::string& expected, const std::string& actual) {
  return UserError(path, ": is damaged: the manifest says ", expected, ", but the file has ", actual,
                   "; copy or build the artifact again");
}

absl::Status DamagedTensorError(const std::string& path, const std::string& tensor, uint64_t expected,
                                uint64_t actual) {
  return DamagedFileError(path, absl::StrCat("tensor '", tensor, "' has the XXH3 hash ", HashText(expected)),
                          HashText(actual));
}

absl::Status CheckTensorNames(const Safetensors& file, const Manifest& manifest) {
  size_t count = 0;
  for (const TensorView& tensor : file.tensors()) {
    if (IsPaddingTensor(tensor.name)) {
      continue;
    }
    ++count;
    if (!manifest.tensors.contains(tensor.name)) {
      return UserError(file.path(), ": tensor '", tensor.name, "' is not in the manifest");
    }
  }
  if (count == manifest.tensors.size()) {
    return absl::OkStatus();
  }
  for (const auto& [name, hash] : manifest.tensors) {
    if (file.Find(name) == nullptr) {
      return UserError(file.path(), ": tensor '", name, "' is in the manifest, but not in the file");
    }
  }
  return absl::OkStatus();
}

absl::Status VerifyTensorHashes(const Safetensors& file, const Manifest& manifest, const std::set<std::string>& skipped,
                                const HashProgress& progress) {
  RETURN_IF_ERROR(VerifyHeader(file, manifest));
  RETURN_IF_ERROR(VerifyPadding(file));
  return TensorVerifier(file, manifest, skipped, progress).Run();
}

}  // namespace dejavu
