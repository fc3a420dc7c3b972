#include "ir/import/HuggingFaceReader.h"

#include <filesystem>

#include "ir/base/Hash.h"
#include "ir/import/HuggingFaceFolder.h"
#include "ir/import/OnnxNames.h"
#include "ir/import/OptConfig.h"
#include "ir/import/OptGraph.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

/// The folder's own name, also where the path is "." or ends in a slash.
absl::StatusOr<std::string> FolderName(const std::string& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return UserError(folder, ": ", error ? error.message() : "is not a folder",
                     "; expected the folder of a Hugging Face OPT checkpoint");
  }
  const fs::path path = fs::absolute(folder, error).lexically_normal();
  const std::string name = path.has_filename() ? path.filename() : path.parent_path().filename();
  if (absl::Status status = CheckName(name, "the folder"); !status.ok()) {
    return WithContext(status, folder);
  }
  return name.empty() ? "opt" : name;  // the root has no name
}

/// Reads all weights, so it comes after everything that can be wrong with the checkpoint.
absl::Status HashWeights(Module& module, WeightStore& store) {
  for (const auto& weight : module.weights()) {
    ASSIGN_OR_RETURN(const WeightData data, store.Read(*weight));
    weight->hash = HashText(Hash64({data.data, data.bytes}));
    store.TrustHash(*weight);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Module>> ReadHuggingFace(const std::string& folder, WeightStore* store) {
  ASSIGN_OR_RETURN(const std::string name, FolderName(folder));
  const std::string config_path = absl::StrCat(folder, folder.ends_with("/") ? "" : "/", "config.json");
  std::error_code ignored;
  if (!std::filesystem::exists(config_path, ignored)) {
    return UserError(folder, ": has no config.json; expected the folder of a Hugging Face OPT checkpoint");
  }
  ASSIGN_OR_RETURN(const OptConfig config, ReadOptConfig(config_path));
  ASSIGN_OR_RETURN(const HuggingFaceFolder tensors, HuggingFaceFolder::Open(folder));
  ASSIGN_OR_RETURN(std::unique_ptr<Module> module, BuildOptModule(config, name, tensors));
  RETURN_IF_ERROR(tensors.CheckLayersAreUsed(*module));
  tensors.RegisterIn(*store);
  RETURN_IF_ERROR(HashWeights(*module, *store));
  return module;
}

}  // namespace dejavu
