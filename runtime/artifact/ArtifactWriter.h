// Writes an artifact directory so that readers see the old one or the new one, never half of one.
#ifndef DEJAVU_RUNTIME_ARTIFACT_ARTIFACTWRITER_H_
#define DEJAVU_RUNTIME_ARTIFACT_ARTIFACTWRITER_H_

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ir/base/Safetensors.h"
#include "runtime/artifact/Manifest.h"

namespace dejavu {

/// One artifact being written. The parts go to a temporary directory beside the target; unless Commit() succeeds, the
/// destructor removes it. After an error the object is of no use; drop it. For one thread.
class ArtifactWriter {
 public:
  /// Starts to write the artifact `path`. Refuses a `path` that exists and is neither an artifact nor an empty
  /// directory.
  [[nodiscard]] static absl::StatusOr<ArtifactWriter> Create(const std::string& path);

  ArtifactWriter(ArtifactWriter&& other) noexcept;
  ArtifactWriter& operator=(ArtifactWriter&& other) = delete;
  ~ArtifactWriter();

  /// Adds a whole file; `name` may have folders ("tokenizer/vocab.json") and must be new.
  [[nodiscard]] absl::Status AddFile(const std::string& name, std::string_view bytes);
  /// Announces all tensors of weights.safetensors; call at most once.
  [[nodiscard]] absl::Status BeginTensors(std::vector<TensorSpec> specs);
  /// The next bytes of the tensors in the order announced; a call stays within one tensor.
  [[nodiscard]] absl::Status AppendTensor(std::span<const std::byte> bytes);
  /// Completes the weights, writes the manifest and moves the artifact to its place, replacing an older one. Of
  /// `manifest`, `files` and `tensors` are filled in here.
  [[nodiscard]] absl::Status Commit(Manifest manifest);

 private:
  /// A directory that is removed with all its contents when this object dies.
  class TemporaryFolder;

  ArtifactWriter(std::string path, std::unique_ptr<TemporaryFolder> folder);
  absl::Status FinishTensors(Manifest& manifest);
  absl::Status SyncFolders() const;
  absl::Status MoveToPlace();

  std::string path_;
  std::unique_ptr<TemporaryFolder> folder_;
  std::map<std::string, FileInfo> files_;
  std::vector<std::string> tensor_names_;
  std::unique_ptr<SafetensorsWriter> weights_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_ARTIFACTWRITER_H_
