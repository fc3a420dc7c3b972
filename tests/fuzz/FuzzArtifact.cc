// A manifest, a plan and a weights file (separated by 0x1e) as an artifact. Sizes, hashes and the seal are made right
// first, so that mutations reach what lies behind those checks.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "ir/base/Hash.h"
#include "ir/base/JsonText.h"
#include "ir/base/Safetensors.h"
#include "runtime/artifact/ArtifactReader.h"
#include "tests/fuzz/Parts.h"

namespace {

using dejavu::Manifest;

/// A folder of this process, removed at its end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "dejavu-fuzz-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      std::abort();
    }
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void Write(const std::filesystem::path& path, std::string_view contents) {
  std::error_code ignored;  // a clash of names is an input like any other
  std::filesystem::create_directories(path.parent_path(), ignored);
  std::ofstream(path, std::ios::binary) << contents;
}

bool IsPlan(const Manifest& manifest, const std::string& name) {
  for (const dejavu::TargetInfo& target : manifest.targets) {
    if (target.plan == name) {
      return true;
    }
  }
  return false;
}

void WriteArtifact(Manifest manifest, std::string_view plan, std::string_view weights,
                   const std::filesystem::path& folder) {
  for (auto& [name, info] : manifest.files) {
    const std::string_view contents = name == dejavu::kWeightsFile ? weights : IsPlan(manifest, name) ? plan : "code";
    info = {.bytes = static_cast<int64_t>(contents.size()), .xxh3 = dejavu::Hash64(contents)};
    Write(folder / name, contents);
  }
  const auto file = dejavu::Safetensors::Parse(std::as_bytes(std::span(weights)), "weights");
  for (auto& [name, hash] : manifest.tensors) {
    const dejavu::TensorView* tensor = file.ok() ? file->Find(name) : nullptr;
    hash = tensor == nullptr ? hash : dejavu::Hash64(std::span(tensor->data, tensor->bytes));
  }
  Write(folder / dejavu::kManifestFile, dejavu::ManifestToJson(manifest).dump());
}

void ReadArtifact(const std::filesystem::path& folder) {
  const auto artifact = dejavu::ArtifactReader::Open(folder.string());
  if (!artifact.ok()) {
    return;
  }
  for (const dejavu::TargetInfo& target : artifact->manifest().targets) {
    const auto plan = artifact->ReadPlan(target.name);
    if (!plan.ok()) {
      continue;
    }
    const auto again = dejavu::ParsePlan(dejavu::PlanToJson(*plan).dump(), artifact->manifest().model.vocab);
    if (!again.ok()) {
      std::abort();  // what the writer writes, the reader reads
    }
    if (artifact->is_synthetic()) {
      (void)artifact->SyntheticTensors(*plan);
    }
    const auto weights = artifact->OpenWeights(*plan, {});
    for (size_t i = 0; weights.ok() && i < weights->size(); ++i) {
      (void)dejavu::Hash64(weights->tensor(i));  // reads every byte
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  const auto [manifest_text, plan, weights] = dejavu::SplitParts<3>(data, size);
  absl::StatusOr<nlohmann::json> json = dejavu::ParseJsonObject(manifest_text);
  if (!json.ok()) {
    return 0;
  }
  dejavu::SealManifest(*json);
  const auto manifest = dejavu::ParseManifest(dejavu::PrintJson(*json));
  if (!manifest.ok()) {
    return 0;
  }
  if (manifest->files.size() <= 8) {
    WriteArtifact(*manifest, plan, weights, folder.path());
    ReadArtifact(folder.path());
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      std::filesystem::remove_all(entry.path());
    }
  }
  return 0;
}
