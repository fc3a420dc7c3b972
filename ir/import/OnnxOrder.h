// The order in which a graph's nodes can be evaluated.
#ifndef DEJAVU_IR_IMPORT_ONNXORDER_H_
#define DEJAVU_IR_IMPORT_ONNXORDER_H_

#include <onnx/onnx_pb.h>

#include <set>
#include <string>
#include <vector>

#include "ir/base/Status.h"

namespace dejavu {

/// `'layers.0/fc1' (Gemm)`, or `#7 (Gemm)` for the nameless node number 7.
[[nodiscard]] std::string DescribeNode(const onnx::GraphProto& graph, int index);
/// The node's name, or "Gemm#7".
[[nodiscard]] std::string NodeName(const onnx::GraphProto& graph, int index);

/// The numbers of the graph's nodes so that each stands after those whose outputs it reads; as in the file where that
/// is already so. `given` are the names that are defined without a node: inputs and stored tensors. Errors: a name
/// defined twice, a name that nothing defines, a cycle.
[[nodiscard]] absl::StatusOr<std::vector<int>> OrderNodes(const onnx::GraphProto& graph,
                                                          const std::set<std::string>& given);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_ONNXORDER_H_
