// Node attributes of ONNX files as attributes of the IR.
#ifndef DEJAVU_IR_IMPORT_ONNXATTRIBUTES_H_
#define DEJAVU_IR_IMPORT_ONNXATTRIBUTES_H_

#include <onnx/onnx_pb.h>

#include "ir/base/Status.h"
#include "ir/core/Attribute.h"

namespace dejavu {

/// Tensors of more elements than this never stand in the program.
inline constexpr size_t kMostLiteralElements = 64;

/// The node's attributes under their own names. A float becomes the shortest decimal that rounds to it, which is what
/// the exporter was given (1e-05). Errors: graphs, strings in lists and other kinds that no supported operator has.
[[nodiscard]] absl::StatusOr<AttributeMap> ReadAttributes(const onnx::NodeProto& node);

/// The literal of a Constant node that has one of the attributes value_int, value_ints, value_float or value_floats.
[[nodiscard]] absl::StatusOr<TensorLiteral> ReadConstantList(const onnx::NodeProto& node);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_ONNXATTRIBUTES_H_
