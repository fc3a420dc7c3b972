#include "runtime/artifact/ArtifactReader.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>

#include "absl/strings/str_join.h"
#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/Status.h"

namespace dejavu {
namespace {

constexpr size_t kMaxManifestBytes = size_t{1} << 28;
// Between two reports of progress; also small enough to keep several threads busy at the end of a file.
constexpr size_t kHashChunk = size_t{16} << 20;
constexpr size_t kMaxHashThreads = 16;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string WithoutTrailingSlashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return path;
}

absl::Status DamagedError(const std::string& path, const std::string& expected, const std::string& actual) {
  return UserError(path, ": is damaged: the manifest says ", expected, ", but the file has ", actual,
                   "; copy or build the artifact again");
}

/// Hashes tensors from a shared list until it is empty or one is found damaged.
class TensorVerifier {
 public:
  TensorVerifier(const Safetensors& file, const Manifest& manifest, const WeightOptions& options)
      : path_(file.path()), manifest_(manifest), options_(options) {
    for (const TensorView& tensor : file.tensors()) {
      if (!IsPaddingTensor(tensor.name)) {
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
      error_ = DamagedError(path_, absl::StrCat("tensor '", tensor.name, "' has the XXH3 hash ", HashText(expected)),
                            HashText(hasher.Digest()));
    }
  }

  void Report(int64_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ += bytes;
    if (options_.progress) {
      options_.progress(done_, total_);
    }
  }

  const std::string& path_;
  const Manifest& manifest_;
  const WeightOptions& options_;
  std::vector<const TensorView*> tensors_;
  int64_t total_ = 0;
  std::atomic<size_t> next_ = 0;
  std::atomic<bool> failed_ = false;
  absl::Status error_;  // written by the one thread that sets failed_, read after all have joined
  std::mutex mutex_;
  int64_t done_ = 0;
};

}  // namespace

absl::StatusOr<ArtifactReader> ArtifactReader::Open(const std::string& path) {
  const std::string folder = WithoutTrailingSlashes(path);
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(folder, error);
  if (!std::filesystem::exists(status)) {
    return UserError(folder, ": no such artifact; dejavu-opt MODEL -o NAME.dejavu builds one");
  }
  const std::string manifest_path = absl::StrCat(folder, "/", kManifestFile);
  if (!std::filesystem::is_directory(status) || !std::filesystem::exists(manifest_path, error)) {
    return UserError(folder, ": is not an artifact, which is a directory with a ", kManifestFile,
                     "; dejavu-opt MODEL -o NAME.dejavu builds one");
  }
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(manifest_path, kMaxManifestBytes));
  absl::StatusOr<Manifest> manifest = ParseManifest(text);
  if (!manifest.ok()) {
    return WithContext(manifest.status(), manifest_path);
  }
  ArtifactReader reader(folder, *std::move(manifest));
  RETURN_IF_ERROR(reader.CheckFiles());
  return reader;
}

std::string ArtifactReader::FilePath(std::string_view name) const { return absl::StrCat(path_, "/", View(name)); }

absl::Status ArtifactReader::CheckFiles() const {
  for (const auto& [name, info] : manifest_.files) {
    const std::string path = FilePath(name);
    ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
    if (static_cast<int64_t>(file.size()) != info.bytes) {
      return DamagedError(path, absl::StrCat(info.bytes, " bytes"), absl::StrCat(file.size()));
    }
    if (name == kWeightsFile || file.size() == 0) {
      continue;
    }
    ASSIGN_OR_RETURN(const MappedFile map, MappedFile::Open(path));
    const uint64_t hash = Hash64(map.bytes());
    if (hash != info.xxh3) {
      return DamagedError(path, absl::StrCat("XXH3 hash ", HashText(info.xxh3)), HashText(hash));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const TargetInfo*> ArtifactReader::RequireTarget(const std::string& target) const {
  const TargetInfo* found = manifest_.FindTarget(target);
  if (found == nullptr) {
    const std::string names = absl::StrJoin(
        manifest_.targets, ", ", [](std::string* out, const TargetInfo& info) { absl::StrAppend(out, info.name); });
    return UserError(path_, ": has no code for the device '", target, "', only for: ", names.empty() ? "none" : names);
  }
  return found;
}

absl::StatusOr<Plan> ArtifactReader::ReadPlan(const std::string& target) const {
  ASSIGN_OR_RETURN(const TargetInfo* info, RequireTarget(target));
  const std::string path = FilePath(info->plan);
  ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path));
  absl::StatusOr<Plan> plan = ParsePlan(text, manifest_.model.vocab);
  if (!plan.ok()) {
    return WithContext(plan.status(), path);
  }
  if (plan->positions != manifest_.model.positions || plan->target != target) {
    return UserError(path, ": is for target '", plan->target, "' and ", plan->positions,
                     " positions, but the manifest says '", target, "' and ", manifest_.model.positions);
  }
  return plan;
}

absl::StatusOr<CodeFile> ArtifactReader::ChooseCode(const std::string& target,
                                                    const std::vector<std::string>& supported) const {
  ASSIGN_OR_RETURN(const TargetInfo* info, RequireTarget(target));
  for (const std::string& isa : supported) {
    for (const CodeFile& code : info->code) {
      if (code.isa == isa) {
        return code;
      }
    }
  }
  const std::string offered =
      absl::StrJoin(info->code, ", ", [](std::string* out, const CodeFile& code) { absl::StrAppend(out, code.isa); });
  return UserError(path_, ": holds code for ", offered.empty() ? "no processor" : offered, ", but this processor runs ",
                   absl::StrJoin(supported, ", "), "; build the artifact again for this processor");
}

absl::Status ArtifactReader::CheckTensorNames(const Safetensors& file) const {
  size_t count = 0;
  for (const TensorView& tensor : file.tensors()) {
    if (IsPaddingTensor(tensor.name)) {
      continue;
    }
    ++count;
    if (!manifest_.tensors.contains(tensor.name)) {
      return UserError(file.path(), ": tensor '", tensor.name, "' is not in the manifest");
    }
  }
  if (count == manifest_.tensors.size()) {
    return absl::OkStatus();
  }
  for (const auto& [name, hash] : manifest_.tensors) {
    if (file.Find(name) == nullptr) {
      return UserError(file.path(), ": tensor '", name, "' is in the manifest, but not in the file");
    }
  }
  return absl::OkStatus();
}

absl::Status ArtifactReader::VerifyTensors(const Safetensors& file, const WeightOptions& options) const {
  return TensorVerifier(file, manifest_, options).Run();
}

absl::StatusOr<Weights> ArtifactReader::OpenWeights(const Plan& plan, const WeightOptions& options) const {
  if (!manifest_.files.contains(kWeightsFile)) {
    return UserError(FilePath(kManifestFile), ": field 'files' doesn't list ", kWeightsFile);
  }
  ASSIGN_OR_RETURN(Safetensors opened, Safetensors::Open(FilePath(kWeightsFile)));
  Weights weights(std::move(opened));
  const Safetensors& file = weights.file_;
  RETURN_IF_ERROR(CheckTensorNames(file));
  std::vector<int64_t> sizes;
  for (const std::string& name : plan.weights) {
    ASSIGN_OR_RETURN(const TensorView* tensor, file.Get(name));
    if (reinterpret_cast<uintptr_t>(tensor->data) % kBufferAlignment != 0) {
      return UserError(file.path(), ": tensor '", name, "' does not start at a multiple of ", kBufferAlignment,
                       " bytes");
    }
    weights.tensors_.emplace_back(tensor->data, tensor->bytes);
    sizes.push_back(static_cast<int64_t>(tensor->bytes));
  }
  RETURN_IF_ERROR(WithContext(CheckWeightSizes(plan, sizes), FilePath(manifest_.FindTarget(plan.target)->plan)));
  if (options.verify_hashes) {
    RETURN_IF_ERROR(VerifyTensors(file, options));
  }
  return weights;
}

}  // namespace dejavu
