#include "runtime/artifact/ArtifactWriter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/MappedFile.h"
#include "ir/base/Status.h"
#include "runtime/artifact/WeightFile.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

/// An error unless an artifact may be written to `path`: nothing is there, an artifact, or an empty directory.
absl::Status CheckReplaceable(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(path, error);
  if (!fs::exists(status)) {
    return absl::OkStatus();
  }
  const bool is_folder = fs::is_directory(status);
  if (is_folder && (fs::exists(path + "/" + kManifestFile, error) || fs::is_empty(path, error))) {
    return absl::OkStatus();
  }
  return UserError(path, ": exists and is not an artifact, so it is not replaced; choose another name or remove it");
}

std::string UniqueName(const std::string& path, const char* purpose) {
  static std::atomic<unsigned> counter = 0;
  return absl::StrCat(path, ".", purpose, "-", getpid(), "-", counter.fetch_add(1));
}

absl::Status RenameFolder(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    return FileError(to, "cannot move the artifact to this name", errno);
  }
  return absl::OkStatus();
}

void RemoveFolder(const std::string& path) {
  std::error_code error;  // what cannot be removed stays; the caller has a more important error to report, or none
  fs::remove_all(path, error);
}

}  // namespace

class ArtifactWriter::TemporaryFolder {
 public:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { RemoveFolder(path_); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

absl::StatusOr<ArtifactWriter> ArtifactWriter::Create(const std::string& path) {
  std::string target = path;
  while (target.size() > 1 && target.back() == '/') {
    target.pop_back();
  }
  if (target.empty()) {
    return UserError("the artifact's path is empty; give a name such as model.dejavu");
  }
  RETURN_IF_ERROR(CheckReplaceable(target));
  const std::string temporary = UniqueName(target, "tmp");
  if (mkdir(temporary.c_str(), 0777) != 0) {
    return FileError(target, absl::StrCat("cannot create a directory in ", ParentDirectory(target)), errno);
  }
  return ArtifactWriter(target, std::make_unique<TemporaryFolder>(temporary));
}

ArtifactWriter::ArtifactWriter(std::string path, std::unique_ptr<TemporaryFolder> folder)
    : path_(std::move(path)), folder_(std::move(folder)) {}

ArtifactWriter::ArtifactWriter(ArtifactWriter&& other) noexcept = default;

ArtifactWriter::~ArtifactWriter() = default;

absl::Status ArtifactWriter::AddFile(const std::string& name, std::string_view bytes) {
  if (!IsSafeFileName(name) || name == kManifestFile || name == kWeightsFile || files_.contains(name)) {
    return BugError("'", name, "' cannot be added to an artifact: it is reserved, unsafe or there already");
  }
  const std::string path = folder_->path() + "/" + name;
  std::error_code error;
  fs::create_directories(ParentDirectory(path), error);
  if (error) {
    return FileError(ParentDirectory(path), "cannot create the directory", error.value());
  }
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path));
  RETURN_IF_ERROR(file.Write(bytes));
  RETURN_IF_ERROR(file.Finish());
  files_[name] = {static_cast<int64_t>(bytes.size()), Hash64(bytes)};
  return absl::OkStatus();
}

absl::Status ArtifactWriter::BeginTensors(std::vector<TensorSpec> specs) {
  if (weights_ != nullptr) {
    return BugError("the tensors of an artifact are announced twice");
  }
  for (const TensorSpec& spec : specs) {
    tensor_names_.push_back(spec.name);
  }
  const std::string path = absl::StrCat(folder_->path(), "/", kWeightsFile);
  ASSIGN_OR_RETURN(SafetensorsWriter writer, SafetensorsWriter::Create(path, std::move(specs)));
  weights_ = std::make_unique<SafetensorsWriter>(std::move(writer));
  return absl::OkStatus();
}

absl::Status ArtifactWriter::AppendTensor(std::span<const std::byte> bytes) {
  if (weights_ == nullptr) {
    return BugError("tensor bytes come before the tensors are announced");
  }
  return weights_->Append(bytes);
}

absl::Status ArtifactWriter::FinishTensors(Manifest& manifest) {
  if (weights_ == nullptr) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::vector<uint64_t> hashes, weights_->Finish());
  for (size_t i = 0; i < hashes.size(); ++i) {
    manifest.tensors[tensor_names_[i]] = hashes[i];
  }
  const std::string path = absl::StrCat(folder_->path(), "/", kWeightsFile);
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  ASSIGN_OR_RETURN(const std::span<const std::byte> header, SafetensorsHeader(file.bytes()));
  files_[kWeightsFile] = {static_cast<int64_t>(file.size()), Hash64(file.bytes()), Hash64(header)};
  return absl::OkStatus();
}

absl::Status ArtifactWriter::Commit(Manifest manifest) {
  manifest.tensors.clear();
  RETURN_IF_ERROR(FinishTensors(manifest));
  manifest.files = files_;
  const std::string text =
      ManifestToJson(manifest).dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  // What a reader would refuse must not be written.
  const absl::StatusOr<Manifest> parsed = ParseManifest(text);
  if (!parsed.ok()) {
    return BugError("the manifest to write is wrong: ", parsed.status().message());
  }
  ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(absl::StrCat(folder_->path(), "/", kManifestFile)));
  RETURN_IF_ERROR(file.Write(text));
  RETURN_IF_ERROR(file.Finish());
  RETURN_IF_ERROR(SyncFolders());
  return MoveToPlace();
}

absl::Status ArtifactWriter::SyncFolders() const {
  for (const auto& [name, info] : files_) {
    if (name.find('/') != std::string::npos) {
      RETURN_IF_ERROR(SyncDirectory(ParentDirectory(folder_->path() + "/" + name)));
    }
  }
  return SyncDirectory(folder_->path());
}

absl::Status ArtifactWriter::MoveToPlace() {
  RETURN_IF_ERROR(CheckReplaceable(path_));
  const std::string& temporary = folder_->path();
  // Exchanging the names leaves no moment without an artifact; the old one is then removed as the temporary folder.
  if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE) == 0) {
    return SyncDirectory(ParentDirectory(path_));
  }
  std::error_code error;
  if (!fs::exists(path_, error)) {
    RETURN_IF_ERROR(RenameFolder(temporary, path_));
    return SyncDirectory(ParentDirectory(path_));
  }
  // A file system that cannot exchange names: for a moment only the old one's second name exists.
  const std::string old = UniqueName(path_, "old");
  RETURN_IF_ERROR(RenameFolder(path_, old));
  const absl::Status moved = RenameFolder(temporary, path_);
  if (!moved.ok()) {
    RETURN_IF_ERROR(RenameFolder(old, path_));
    return moved;
  }
  RemoveFolder(old);
  return SyncDirectory(ParentDirectory(path_));
}

}  // namespace dejavu
