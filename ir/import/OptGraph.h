// The [model] stratum's program of an OPT, made from its shape and its tensors' types: no file is read here.
#ifndef DEJAVU_IR_IMPORT_OPTGRAPH_H_
#define DEJAVU_IR_IMPORT_OPTGRAPH_H_

#include <memory>
#include <string>
#include <string_view>

#include "ir/base/Status.h"
#include "ir/core/Module.h"
#include "ir/import/OptConfig.h"

namespace dejavu {

/// The tensors of a checkpoint. Names are without the decoder's prefix, which changed over time: "embed_tokens.weight",
/// "layers.0.fc1.bias", "lm_head.weight".
class OptTensors {
 public:
  virtual ~OptTensors() = default;
  /// What stands before the names of the decoder's tensors: "model.decoder.", "decoder." or "".
  [[nodiscard]] virtual std::string_view prefix() const = 0;
  [[nodiscard]] virtual bool Has(std::string_view name) const = 0;
  /// The tensor as a weight called `name`. A missing one is a user error that names files and tensor.
  [[nodiscard]] virtual absl::StatusOr<Weight> Get(std::string_view name) const = 0;
};

/// The module called `name` at stage "model" with all its facts and one function, what lifting an ONNX export gives:
///   @forward(%tokens: i32<tokens>, %past: i64<>, %kv0: f32<2, heads, past, head_dim>, ...) -> logits, kv0, ...
/// Locations are the checkpoint's modules, such as "model.decoder.layers.0.fc1". A tensor that is missing, has another
/// shape than `config` says, or holds no floats is a user error that names file and tensor.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Module>> BuildOptModule(const OptConfig& config, const std::string& name,
                                                                     const OptTensors& tensors);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_OPTGRAPH_H_
