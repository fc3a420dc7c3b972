// What each ONNX operator computes: shape inference and evaluation in one function per operator.
#ifndef DEJAVU_IR_INTERP_ONNXEVAL_H_
#define DEJAVU_IR_INTERP_ONNXEVAL_H_

#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "ir/interp/Tensor.h"

namespace dejavu {

struct EvalOptions {
  /// True: float results are rounded to their dtype. False: double arithmetic without intermediate rounding.
  bool round = true;
  /// A result whose contents would have more elements is an error: a small model file can ask for any size.
  int64_t max_elements = kMaxKnownElements;
};

/// Evaluates one node of opset `opset` (11 to 21). `inputs` follow the ONNX definition; null stands for an absent
/// optional input, and trailing ones may be left out. Attributes have ONNX's names; an enumerated element type is
/// ONNX's number.
///
/// If the contents of an input are not known, the results are Unknown tensors of the right dtype and shape; only where
/// the shape itself depends on those contents is that an error. Returns every output that the operator defines: a node
/// that lists fewer takes the first ones. Split must have `num_outputs` or its `split` sizes. Thread-safe.
using OnnxEvalFn = absl::StatusOr<std::vector<Tensor>> (*)(const AttributeMap& attributes,
                                                           absl::Span<const Tensor* const> inputs, int opset,
                                                           const EvalOptions& options);

/// The function of the operator `op_type` ("Add", without a prefix), or null if it is not supported.
[[nodiscard]] OnnxEvalFn FindOnnxEval(std::string_view op_type);

}  // namespace dejavu

#endif  // DEJAVU_IR_INTERP_ONNXEVAL_H_
