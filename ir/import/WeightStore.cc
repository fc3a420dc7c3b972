#include "ir/import/WeightStore.h"

#include "ir/base/Hash.h"
#include "ir/base/Safetensors.h"
#include "ir/import/SyntheticWeights.h"
#include "ir/import/WeightTransforms.h"

namespace dejavu {
namespace {

class SafetensorsSource : public TensorSource {
 public:
  explicit SafetensorsSource(Safetensors file) : file_(std::make_shared<Safetensors>(std::move(file))) {}

  absl::StatusOr<WeightData> Read(std::string_view tensor) const override {
    ASSIGN_OR_RETURN(const TensorView* view, file_->Get(tensor));
    return WeightData{view->dtype, view->dims, file_, view->data, view->bytes};
  }

 private:
  std::shared_ptr<Safetensors> file_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<TensorSource>> OpenSafetensorsSource(const std::string& path) {
  ASSIGN_OR_RETURN(Safetensors file, Safetensors::Open(path));
  return std::make_shared<SafetensorsSource>(std::move(file));
}

std::string WeightStore::PathOf(const std::string& file) const {
  return folder_.empty() || file.starts_with("/") ? file : absl::StrCat(folder_, "/", file);
}

std::vector<std::string> WeightStore::FilesOf(const Weight& weight) {
  const absl::StatusOr<TensorSource*> source = Open(weight.file);
  std::vector<std::string> files = source.ok() ? (*source)->OtherFiles() : std::vector<std::string>();
  files.push_back(PathOf(weight.file));
  return files;
}

absl::StatusOr<std::shared_ptr<TensorSource>> WeightStore::OpenSource(const std::string& file) const {
  if (file.starts_with(kSyntheticPrefix)) {
    return OpenSyntheticSource(file);
  }
  const std::string path = PathOf(file);
  return path.ends_with(".onnx") ? OpenOnnxSource(path) : OpenSafetensorsSource(path);
}

absl::StatusOr<TensorSource*> WeightStore::Open(const std::string& file) {
  auto it = sources_.find(file);
  if (it == sources_.end()) {
    ASSIGN_OR_RETURN(std::shared_ptr<TensorSource> source, OpenSource(file));
    it = sources_.emplace(file, std::move(source)).first;
  }
  return it->second.get();
}

void WeightStore::RegisterStored(std::string where, std::set<std::string, std::less<>> names,
                                 std::shared_ptr<TensorSource> source) {
  stored_where_ = std::move(where);
  stored_names_ = std::move(names);
  stored_ = std::move(source);
}

std::string WeightStore::HashKey(const Weight& weight) {
  // Passes rename weights, so what counts is where the bytes are.
  return absl::StrCat(weight.hash, " ", weight.file, " ", weight.tensor);
}

absl::Status WeightStore::CheckHash(const Weight& weight, const WeightData& data) {
  if (weight.hash.empty() || !checked_.insert(HashKey(weight)).second) {
    return absl::OkStatus();
  }
  const std::string hash = HashText(Hash64({data.data, data.bytes}));
  if (hash != weight.hash) {
    checked_.erase(HashKey(weight));
    return UserError(weight.file, ": tensor '", weight.tensor, "' has changed: its XXH3 hash is ", hash,
                     ", but the IR was made from ", weight.hash,
                     "; put the file back as it was, or make the IR again from the model");
  }
  return absl::OkStatus();
}

absl::StatusOr<WeightData> WeightStore::ReadFromFile(const Weight& weight) {
  absl::StatusOr<TensorSource*> source = Open(weight.file);
  if (!source.ok() && stored_ != nullptr) {
    return UserError(stored_where_, ": does not hold the weight '", weight.name,
                     "', which must come from the model that it was made from: ", source.status().message(),
                     "; put the model back there, or compile it again");
  }
  RETURN_IF_ERROR(source.status());
  return (*source)->Read(weight.tensor);
}

absl::StatusOr<WeightData> WeightStore::Derive(const Weight& weight) {
  const WeightTransform* transform = FindWeightTransform(weight.transform);
  if (transform == nullptr) {
    return UserError("weight '", weight.name, "': there is no transform '", weight.transform, "'");
  }
  if (weight.sources.size() < transform->min_sources || weight.sources.size() > transform->max_sources) {
    return UserError("weight '", weight.name, "': '", weight.transform, "' cannot take ", weight.sources.size(),
                     " sources");
  }
  std::vector<WeightData> sources;
  std::vector<Type> types;
  for (const Weight* source : weight.sources) {
    ASSIGN_OR_RETURN(WeightData bytes, Read(*source));
    types.push_back(bytes.type());
    sources.push_back(std::move(bytes));
  }
  RETURN_IF_ERROR(WithContext(transform->infer(types).status(), absl::StrCat("weight '", weight.name, "'")));
  return transform->compute(sources);
}

absl::StatusOr<WeightData> WeightStore::Read(const Weight& weight) {
  const bool stored = stored_names_.contains(weight.name);
  absl::StatusOr<WeightData> data =
      stored ? stored_->Read(weight.name) : (weight.is_derived() ? Derive(weight) : ReadFromFile(weight));
  RETURN_IF_ERROR(data.status());
  if (data->type() != weight.type) {
    const std::string holder = absl::StrCat("file ", stored ? stored_where_ : weight.file, " holds ");
    return UserError("weight '", weight.name, "' should be ", weight.type.ToString(), ", but its ",
                     weight.is_derived() && !stored ? "sources give " : holder, data->type().ToString());
  }
  if (!weight.is_derived() && !stored) {
    RETURN_IF_ERROR(CheckHash(weight, *data));
  }
  return data;
}

}  // namespace dejavu
