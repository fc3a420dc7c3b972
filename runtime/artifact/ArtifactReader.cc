#include "runtime/artifact/ArtifactReader.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_join.h"
#include "ir/base/FileUtil.h"
#include "ir/base/Hash.h"
#include "ir/base/Status.h"
#include "runtime/artifact/Json.h"
#include "runtime/artifact/WeightFile.h"

namespace dejavu {
namespace {

constexpr size_t kMaxManifestBytes = size_t{1} << 28;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string WithoutTrailingSlashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') {
    path.pop_back();
  }
  return path;
}

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
      return DamagedFileError(path, absl::StrCat(info.bytes, " bytes"), absl::StrCat(file.size()));
    }
    if (name == kWeightsFile || file.size() == 0) {
      continue;
    }
    ASSIGN_OR_RETURN(const MappedFile map, MappedFile::Open(path));
    const uint64_t hash = Hash64(map.bytes());
    if (hash != info.xxh3) {
      return DamagedFileError(path, absl::StrCat("XXH3 hash ", HashText(info.xxh3)), HashText(hash));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<const TargetInfo*> ArtifactReader::RequireTarget(const std::string& target) const {
  const TargetInfo* found = manifest_.FindTarget(target);
  if (found == nullptr) {
    const std::string names = absl::StrJoin(
        manifest_.targets, ", ", [](std::string* out, const TargetInfo& info) { absl::StrAppend(out, info.name); });
    return UserError(path_, ": has no code for the device '", target, "', only for: ", names.empty() ? "none" : names,
                     "; dejavu-opt's flag --target names the devices to build for");
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

absl::StatusOr<CodeFile> ArtifactReader::ChooseCode(const std::string& target, const Machine& machine) const {
  ASSIGN_OR_RETURN(const TargetInfo* info, RequireTarget(target));
  for (const std::string& isa : machine.isas) {
    for (const CodeFile& code : info->code) {
      if (code.isa == isa) {
        return code;
      }
    }
  }
  const std::string offered =
      absl::StrJoin(info->code, ", ", [](std::string* out, const CodeFile& code) { absl::StrAppend(out, code.isa); });
  return UserError(path_, ": holds code for ", offered.empty() ? "no processor" : offered, ", but ", machine.name,
                   " runs ", absl::StrJoin(machine.isas, ", "), "; ", machine.advice);
}

absl::StatusOr<Weights> ArtifactReader::OpenWeights(const Plan& plan, const WeightOptions& options,
                                                    HashCheck check) const {
  if (!manifest_.files.contains(kWeightsFile)) {
    return UserError(FilePath(kManifestFile), ": field 'files' doesn't list ", kWeightsFile);
  }
  ASSIGN_OR_RETURN(Safetensors opened, Safetensors::Open(FilePath(kWeightsFile)));
  const auto owner = std::make_shared<const Safetensors>(std::move(opened));
  const Safetensors& file = *owner;
  Weights weights;
  weights.owner_ = owner;
  weights.path_ = file.path();
  RETURN_IF_ERROR(CheckTensorNames(file, manifest_));
  std::vector<int64_t> sizes;
  for (const std::string& name : plan.weights) {
    ASSIGN_OR_RETURN(const TensorView* tensor, file.Get(name));
    if (reinterpret_cast<uintptr_t>(tensor->data) % kBufferAlignment != 0) {
      return UserError(file.path(), ": tensor '", name, "' does not start at a multiple of ", kBufferAlignment,
                       " bytes");
    }
    const auto hash = manifest_.tensors.find(name);
    if (hash == manifest_.tensors.end()) {
      return UserError(file.path(), ": '", name, "' is a filler, not a tensor");
    }
    weights.tensors_.push_back({name, {tensor->data, tensor->bytes}, hash->second});
    sizes.push_back(static_cast<int64_t>(tensor->bytes));
  }
  RETURN_IF_ERROR(WithContext(CheckWeightSizes(plan, sizes), FilePath(manifest_.FindTarget(plan.target)->plan)));
  if (options.verify_hashes && check == HashCheck::kOnOpening) {
    RETURN_IF_ERROR(VerifyTensorHashes(file, manifest_, {}, options.progress));
  } else if (options.verify_hashes) {
    RETURN_IF_ERROR(VerifyTensorHashes(file, manifest_, {plan.weights.begin(), plan.weights.end()}, nullptr));
  }
  return weights;
}

absl::StatusOr<std::vector<const SyntheticTensor*>> ArtifactReader::SyntheticTensors(const Plan& plan) const {
  std::vector<const SyntheticTensor*> tensors;
  std::vector<int64_t> sizes;
  int64_t total = 0;
  for (const std::string& name : plan.weights) {
    const auto tensor = manifest_.synthetic.find(name);
    if (tensor == manifest_.synthetic.end()) {
      return UserError(FilePath(kManifestFile), ": field 'synthetic' has no tensor '", name, "'");
    }
    const int64_t bytes = tensor->second.bytes();
    if (bytes > kMaxJsonBytes - total) {
      return UserError(FilePath(kManifestFile), ": field 'synthetic': the tensors up to '", name, "' have more than ",
                       kMaxJsonBytes, " bytes");
    }
    total += bytes;
    tensors.push_back(&tensor->second);
    sizes.push_back(bytes);
  }
  RETURN_IF_ERROR(WithContext(CheckWeightSizes(plan, sizes), FilePath(manifest_.FindTarget(plan.target)->plan)));
  return tensors;
}

Weights::Weights(std::vector<std::span<const std::byte>> tensors, std::shared_ptr<const void> owner)
    : owner_(std::move(owner)) {
  for (const std::span<const std::byte> tensor : tensors) {
    tensors_.push_back({"", tensor, 0});
  }
}

absl::Status Weights::CheckHash(size_t index, uint64_t hash) const {
  const Tensor& tensor = tensors_[index];
  return hash == tensor.hash ? absl::OkStatus() : DamagedTensorError(path_, tensor.name, tensor.hash, hash);
}

}  // namespace dejavu
