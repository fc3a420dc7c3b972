#include "tools/driver/ArtifactInput.h"

#include <filesystem>
#include <iostream>
#include <mutex>
#include <set>
#include <utility>

#include "ir/base/Safetensors.h"
#include "runtime/artifact/WeightFile.h"

namespace dejavu {
namespace {

/// weights.safetensors, checked when it is first read: printing the IR needs none of it.
class ArtifactSource : public TensorSource {
 public:
  ArtifactSource(Safetensors file, Manifest manifest)
      : file_(std::make_shared<Safetensors>(std::move(file))), manifest_(std::move(manifest)) {}

  absl::StatusOr<WeightData> Read(std::string_view tensor) const override {
    std::call_once(checked_,
                   [this] { verified_ = VerifyTensorHashes(*file_, manifest_, /*skipped=*/{}, /*progress=*/nullptr); });
    RETURN_IF_ERROR(verified_);
    ASSIGN_OR_RETURN(const TensorView* view, file_->Get(tensor));
    return WeightData{view->dtype, view->dims, file_, view->data, view->bytes};
  }

 private:
  std::shared_ptr<Safetensors> file_;
  Manifest manifest_;
  mutable std::once_flag checked_;
  mutable absl::Status verified_;
};

}  // namespace

absl::Status RegisterArtifactWeights(const ArtifactReader& artifact, WeightStore& store) {
  if (!artifact.manifest().files.contains(kWeightsFile)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Safetensors file, Safetensors::Open(artifact.FilePath(kWeightsFile)));
  RETURN_IF_ERROR(CheckTensorNames(file, artifact.manifest()));
  std::set<std::string, std::less<>> names;
  for (const auto& [name, hash] : artifact.manifest().tensors) {
    names.insert(name);
  }
  store.RegisterStored(artifact.path(), std::move(names),
                       std::make_shared<ArtifactSource>(std::move(file), artifact.manifest()));
  return absl::OkStatus();
}

std::string TokenizerOf(const std::string& input, bool is_artifact) {
  const std::string folder = is_artifact ? absl::StrCat(input, "/", kTokenizerFolder) : input;
  std::error_code error;
  if (!std::filesystem::is_directory(input, error)) {
    return "";
  }
  for (const char* name : {"vocab.json", "merges.txt"}) {
    if (!std::filesystem::exists(absl::StrCat(folder, "/", name), error)) {
      if (!is_artifact) {
        std::cerr << "dejavu-opt: " << input << " has no " << name
                  << ", so the artifact gets no tokenizer; dejavu-run then needs --tokenizer or --tokens\n";
      }
      return "";
    }
  }
  return folder;
}

}  // namespace dejavu
