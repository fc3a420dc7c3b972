// Reads ONNX models: one onnx.* op per node, weights by reference.
#ifndef DEJAVU_IR_IMPORT_ONNXREADER_H_
#define DEJAVU_IR_IMPORT_ONNXREADER_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "ir/base/Status.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// The module of the ONNX file `path`, at stage "onnx", with one function `@main`: arguments are the graph's inputs,
/// results its outputs, both with their names. The attribute `opset` is the version of the operators, 11 to 21.
/// Tensors of at most 64 integers and single floats become onnx.Constant; every other stored tensor that the graph
/// uses is a weight of file `path`, which is registered in `store`. Every error is the user's and names file and node.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Module>> ReadOnnx(const std::string& path, WeightStore* store);

/// The same for a file in memory. `name` stands for its path in messages and weights; external data is in `folder`.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Module>> ReadOnnxBytes(std::span<const std::byte> bytes,
                                                                    const std::string& name, const std::string& folder,
                                                                    WeightStore* store);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_ONNXREADER_H_
