// Opens an artifact directory, trusting nothing in it.
#ifndef DEJAVU_RUNTIME_ARTIFACT_ARTIFACTREADER_H_
#define DEJAVU_RUNTIME_ARTIFACT_ARTIFACTREADER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ir/base/Safetensors.h"
#include "runtime/artifact/Manifest.h"
#include "runtime/artifact/Plan.h"
#include "runtime/artifact/WeightFile.h"

namespace dejavu {

struct WeightOptions {
  /// Whether each tensor's bytes are compared with the manifest's hash. Costs one pass over the file.
  bool verify_hashes = true;
  HashProgress progress = nullptr;
};

/// What is to run an artifact's code.
struct Machine {
  std::string name;               ///< For messages: "this processor", "NVIDIA H200".
  std::vector<std::string> isas;  ///< Best first.
  std::string advice;             ///< How to get code for it.
};

/// Who compares the plan's tensors with their hashes, where WeightOptions wants it: OpenWeights(), or the caller by
/// Weights::CheckHash() while it reads them for its own purpose.
enum class HashCheck { kOnOpening, kByCaller };

/// The weights of one plan, mapped or made. Immutable; any number of threads may read.
class Weights {
 public:
  /// Tensors that no file holds; `owner` keeps them.
  Weights(std::vector<std::span<const std::byte>> tensors, std::shared_ptr<const void> owner);

  /// The tensor Plan::weights[index], 64-byte aligned; lives as long as this object.
  [[nodiscard]] std::span<const std::byte> tensor(size_t index) const { return tensors_[index].bytes; }
  [[nodiscard]] size_t size() const { return tensors_.size(); }
  /// Compares the hash of a stored tensor's bytes with the manifest's.
  [[nodiscard]] absl::Status CheckHash(size_t index, uint64_t hash) const;

 private:
  friend class ArtifactReader;
  struct Tensor {
    std::string name;
    std::span<const std::byte> bytes;
    uint64_t hash = 0;
  };
  Weights() = default;

  std::shared_ptr<const void> owner_;  // of what tensors_ point into
  std::string path_;                   // of the file; empty without one
  std::vector<Tensor> tensors_;
};

/// An opened artifact: its manifest, and access to its parts. Immutable; any number of threads may read. The files must
/// not change while it is open (ArtifactWriter replaces whole directories, which is safe).
class ArtifactReader {
 public:
  /// Reads the manifest, checks that every listed file is there with its size, and the hash of each but the weights.
  /// Every damage is a user error that starts with the damaged file's path.
  [[nodiscard]] static absl::StatusOr<ArtifactReader> Open(const std::string& path);

  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  /// As given to Open(), without trailing slashes.
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string FilePath(std::string_view name) const;

  /// The checked plan of the target called `target`; an artifact without such a target is a user error.
  [[nodiscard]] absl::StatusOr<Plan> ReadPlan(const std::string& target) const;
  /// The first code file of `target` whose instruction set `machine` has, in the machine's order.
  [[nodiscard]] absl::StatusOr<CodeFile> ChooseCode(const std::string& target, const Machine& machine) const;
  /// Maps the weights, compares them with the manifest and the plan, and with their hashes where asked to.
  [[nodiscard]] absl::StatusOr<Weights> OpenWeights(const Plan& plan, const WeightOptions& options,
                                                    HashCheck check = HashCheck::kOnOpening) const;

  [[nodiscard]] bool is_synthetic() const { return !manifest_.synthetic.empty(); }
  /// What a synthetic model's Plan::weights are, in their order; they live as long as the reader. A tensor that isn't
  /// described, one that is too small for its launches, and more bytes than any file may have are user errors.
  [[nodiscard]] absl::StatusOr<std::vector<const SyntheticTensor*>> SyntheticTensors(const Plan& plan) const;

 private:
  ArtifactReader(std::string path, Manifest manifest) : path_(std::move(path)), manifest_(std::move(manifest)) {}
  absl::Status CheckFiles() const;
  absl::StatusOr<const TargetInfo*> RequireTarget(const std::string& target) const;

  std::string path_;
  Manifest manifest_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_ARTIFACTREADER_H_
