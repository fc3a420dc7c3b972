#include "ir/import/HuggingFaceFolder.h"

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "ir/import/JsonFile.h"
#include "ir/import/OnnxNames.h"

namespace dejavu {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

/// What has stood before the decoder's tensors over time: today's name, that of files which hold the model without its
/// head, and that of the decoder alone. The longest comes first.
constexpr std::array<std::string_view, 3> kPrefixes = {"model.decoder.", "decoder.", ""};

std::string_view PrefixOf(std::string_view name) {
  for (const std::string_view prefix : kPrefixes) {
    if (name.starts_with(prefix)) {
      return prefix;
    }
  }
  return "";
}

/// The tensors of one mapped file, for the weight store.
class MappedSource : public TensorSource {
 public:
  explicit MappedSource(std::shared_ptr<const Safetensors> file) : file_(std::move(file)) {}

  absl::StatusOr<WeightData> Read(std::string_view tensor) const override {
    ASSIGN_OR_RETURN(const TensorView* view, file_->Get(tensor));
    return WeightData{view->dtype, view->dims, file_, view->data, view->bytes};
  }

 private:
  std::shared_ptr<const Safetensors> file_;
};

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// The index's table of tensors to files, checked as far as it can be without the files.
absl::StatusOr<std::map<std::string, std::string>> ReadIndex(const std::string& path) {
  ASSIGN_OR_RETURN(const nlohmann::json index, ReadJsonObject(path));
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object() || map->empty()) {
    return UserError(path, ": field 'weight_map' must be an object that gives each tensor's file");
  }
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : map->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    // Files in the folder may be links to elsewhere, as they are in Hugging Face's cache; names may not.
    const bool is_plain =
        name.ends_with(".safetensors") && name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
    if (!is_plain) {
      return UserError(path, ": tensor ", QuotedName(tensor), " is in ", QuotedJson(file),
                       "; expected a .safetensors file of the same folder");
    }
    files[tensor] = name;
  }
  return files;
}

}  // namespace

absl::StatusOr<HuggingFaceFolder> HuggingFaceFolder::Open(const std::string& folder) {
  HuggingFaceFolder result(folder);
  result.weights_path_ = result.PathOf(kSingleFile);
  if (Exists(result.weights_path_)) {
    RETURN_IF_ERROR(result.AddFile(result.weights_path_));
  } else if (Exists(result.PathOf(kIndexFile))) {
    result.weights_path_ = result.PathOf(kIndexFile);
    RETURN_IF_ERROR(result.OpenShards());
  } else {
    return result.RefuseWithoutWeights();
  }
  return result;
}

std::string HuggingFaceFolder::PathOf(std::string_view file) const {
  return folder_.ends_with("/") ? absl::StrCat(folder_, std::string(file))
                                : absl::StrCat(folder_, "/", std::string(file));
}

absl::Status HuggingFaceFolder::RefuseWithoutWeights() const {
  for (const std::string_view bin : {"pytorch_model.bin", "pytorch_model.bin.index.json"}) {
    if (Exists(PathOf(bin))) {
      return UserError(folder_,
                       ": has its weights in pytorch_model*.bin, which can run code when it is read; convert it: ",
                       "tools/convert-bin.py ", folder_);
    }
  }
  return UserError(folder_, ": has neither ", std::string(kSingleFile), " nor ", std::string(kIndexFile),
                   "; expected the folder of a Hugging Face OPT checkpoint");
}

absl::Status HuggingFaceFolder::OpenShards() {
  ASSIGN_OR_RETURN(const auto index, ReadIndex(weights_path_));
  std::set<std::string> names;
  for (const auto& [tensor, file] : index) {
    names.insert(file);
  }
  for (const std::string& name : names) {
    const std::string path = PathOf(name);
    if (!Exists(path)) {
      return UserError(path, ": is missing, but ", std::string(kIndexFile), " names it; download it too");
    }
    RETURN_IF_ERROR(AddFile(path));
  }
  for (const auto& [tensor, file] : index) {
    const auto it = tensors_.find(std::string_view(tensor).substr(PrefixOf(tensor).size()));
    if (it == tensors_.end() || it->second.view->name != tensor || it->second.file->path() != PathOf(file)) {
      return UserError(PathOf(file), ": has no tensor ", QuotedName(tensor), ", but by ", std::string(kIndexFile),
                       " it should");
    }
  }
  return absl::OkStatus();
}

absl::Status HuggingFaceFolder::AddFile(const std::string& path) {
  ASSIGN_OR_RETURN(Safetensors opened, Safetensors::Open(path));
  const auto file = std::make_shared<const Safetensors>(std::move(opened));
  files_.push_back(file);
  for (const TensorView& view : file->tensors()) {
    if (IsPaddingTensor(view.name)) {
      continue;
    }
    if (absl::Status status = CheckName(view.name, "the tensor"); !status.ok()) {
      return WithContext(status, path);
    }
    const std::string_view prefix = PrefixOf(view.name);
    const auto [it, is_new] = tensors_.emplace(view.name.substr(prefix.size()), Place{file.get(), &view});
    if (!is_new) {
      const Place& other = it->second;
      return UserError(path, ": tensor '", view.name, "' is also ",
                       other.view->name == view.name ? "" : absl::StrCat("called '", other.view->name, "' "), "in ",
                       other.file->path(), "; remove one of them");
    }
    if (prefix.size() > prefix_.size()) {
      prefix_ = prefix;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Weight> HuggingFaceFolder::Get(std::string_view name) const {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) {
    const std::string prefix = name.starts_with("lm_head.") ? "" : prefix_;
    return UserError(weights_path_, ": has no tensor '", prefix, std::string(name),
                     "', which an OPT of this config.json has");
  }
  const TensorView& view = *it->second.view;
  Weight weight;
  weight.name = name;
  weight.type = Type{view.dtype, Shape(view.dims.begin(), view.dims.end())};
  weight.file = it->second.file->path();
  weight.tensor = view.name;
  return weight;
}

void HuggingFaceFolder::RegisterIn(WeightStore& store) const {
  for (const auto& file : files_) {
    store.Register(file->path(), std::make_shared<MappedSource>(file));
  }
}

absl::Status HuggingFaceFolder::CheckLayersAreUsed(const Module& module) const {
  std::set<std::string_view> used;
  for (const auto& weight : module.weights()) {
    used.insert(weight->name);
  }
  for (const auto& [name, place] : tensors_) {
    if (name.starts_with("layers.") && !used.contains(name)) {
      return UserError(place.file->path(), ": tensor '", place.view->name,
                       "' has no place in the model that config.json describes; is it another checkpoint's config?");
    }
  }
  return absl::OkStatus();
}

}  // namespace dejavu
