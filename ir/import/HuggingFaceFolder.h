// The safetensors files of a Hugging Face folder, seen as one set of tensors.
#ifndef DEJAVU_IR_IMPORT_HUGGINGFACEFOLDER_H_
#define DEJAVU_IR_IMPORT_HUGGINGFACEFOLDER_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/Safetensors.h"
#include "ir/import/OptGraph.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// model.safetensors, or else the shards that model.safetensors.index.json names. Immutable; files stay mapped while
/// the object or a source lives.
class HuggingFaceFolder : public OptTensors {
 public:
  /// Maps all files and checks their headers, not their tensors' bytes. An index that names files elsewhere or tensors
  /// that are not there, and a tensor that is stored twice, are user errors that name file and tensor.
  [[nodiscard]] static absl::StatusOr<HuggingFaceFolder> Open(const std::string& folder);

  [[nodiscard]] std::string_view prefix() const override { return prefix_; }
  [[nodiscard]] bool Has(std::string_view name) const override { return tensors_.contains(name); }
  [[nodiscard]] absl::StatusOr<Weight> Get(std::string_view name) const override;

  /// Tells `store` where the weights' bytes are.
  void RegisterIn(WeightStore& store) const;
  /// An error if a tensor of a layer is not a weight of `module`: the config is then not that of the checkpoint.
  [[nodiscard]] absl::Status CheckLayersAreUsed(const Module& module) const;

 private:
  struct Place {
    const Safetensors* file;
    const TensorView* view;
  };

  explicit HuggingFaceFolder(std::string folder) : folder_(std::move(folder)) {}
  [[nodiscard]] std::string PathOf(std::string_view file) const;
  absl::Status OpenShards();
  absl::Status AddFile(const std::string& path);
  [[nodiscard]] absl::Status RefuseWithoutWeights() const;

  std::string folder_;
  std::string weights_path_;  // model.safetensors or the index, for messages
  std::string prefix_;
  std::vector<std::shared_ptr<const Safetensors>> files_;
  std::map<std::string, Place, std::less<>> tensors_;  // by name without prefix
};

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_HUGGINGFACEFOLDER_H_
