// Reads Hugging Face folders of OPT checkpoints: config.json and safetensors, weights by reference.
#ifndef DEJAVU_IR_IMPORT_HUGGINGFACEREADER_H_
#define DEJAVU_IR_IMPORT_HUGGINGFACEREADER_H_

#include <memory>
#include <string>

#include "ir/base/Status.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// The module of the OPT checkpoint in `folder`, at stage "model", as OptGraph.h describes it, named after the folder.
/// Weights are float32, float16 or bfloat16 tensors of model.safetensors, or else of the shards that
/// model.safetensors.index.json names; their files are registered in `store`. Reads every weight once, for its hash.
/// Every error is the user's and names the file and the field or tensor.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Module>> ReadHuggingFace(const std::string& folder, WeightStore* store);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_HUGGINGFACEREADER_H_
