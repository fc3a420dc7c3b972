// The [onnx] stratum: one op per ONNX operator, called onnx.<operator>, as the importer found it.
//
// Operands, attributes and their defaults are ONNX's, of the opset in the module's attribute `opset`. The element types
// of results are known; their shapes are those that the file states and otherwise `unranked`, until fold-shapes has
// evaluated the graph.
#ifndef DEJAVU_IR_OPS_ONNXOPS_H_
#define DEJAVU_IR_OPS_ONNXOPS_H_

#include "absl/types/span.h"
#include "ir/base/Status.h"
#include "ir/core/Attribute.h"
#include "ir/core/OpSchema.h"
#include "ir/core/Value.h"

namespace dejavu {

/// The schema of every supported ONNX operator, sorted by name. Valid for the program's life.
[[nodiscard]] absl::Span<const OpSchema> OnnxOpSchemas();

/// Stands alone in a shape of which not even the rank is known: `f32<unranked>`.
inline constexpr const char* kUnranked = "unranked";

/// The element type of result `index` of an op of schema `schema`, an ONNX operator; `operands` fit the schema.
[[nodiscard]] absl::StatusOr<DType> OnnxResultDType(const OpSchema& schema, absl::Span<Value* const> operands,
                                                    const AttributeMap& attributes, size_t index);

}  // namespace dejavu

#endif  // DEJAVU_IR_OPS_ONNXOPS_H_
