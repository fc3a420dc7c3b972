// The [onnx] stratum: one op per ONNX operator, called onnx.<operator>, as the importer found it.
#ifndef DEJAVU_IR_OPS_ONNXOPS_H_
#define DEJAVU_IR_OPS_ONNXOPS_H_

#include "absl/types/span.h"
#include "ir/core/OpSchema.h"

namespace dejavu {

/// The schema of every supported ONNX operator, sorted by name. Valid for the program's life.
[[nodiscard]] absl::Span<const OpSchema> OnnxOpSchemas();

}  // namespace dejavu

#endif  // DEJAVU_IR_OPS_ONNXOPS_H_
