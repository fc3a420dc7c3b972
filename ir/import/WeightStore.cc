#include "ir/import/WeightStore.h"

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

absl::StatusOr<std::shared_ptr<TensorSource>> WeightStore::OpenSource(const std::string& file) const {
  if (file.starts_with(kSyntheticPrefix)) {
    return OpenSyntheticSource(file);
  }
  const std::string path = folder_.empty() || file.starts_with("/") ? file : absl::StrCat(folder_, "/", file);
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

absl::StatusOr<WeightData> WeightStore::Read(const Weight& weight) {
  WeightData data;
  if (!weight.is_derived()) {
    ASSIGN_OR_RETURN(TensorSource * source, Open(weight.file));
    ASSIGN_OR_RETURN(data, source->Read(weight.tensor));
  } else {
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
    ASSIGN_OR_RETURN(data, transform->compute(sources));
  }
  if (data.type() != weight.type) {
    return UserError("weight '", weight.name, "' should be ", weight.type.ToString(), ", but its ",
                     weight.is_derived() ? "sources give " : absl::StrCat("file ", weight.file, " holds "),
                     data.type().ToString());
  }
  return data;
}

}  // namespace dejavu
