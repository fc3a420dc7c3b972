// A model file as the input of a tool that compiles.
#ifndef DEJAVU_TOOLS_DRIVER_MODELINPUT_H_
#define DEJAVU_TOOLS_DRIVER_MODELINPUT_H_

#include <memory>
#include <string>

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// Reads a .onnx file or a Hugging Face directory; anything else is a user error that names it.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Module>> ReadModel(const std::string& input, WeightStore* store);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_MODELINPUT_H_
