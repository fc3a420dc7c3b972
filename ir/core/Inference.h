// Checks operands against a schema's patterns and infers result types.
#ifndef DEJAVU_IR_CORE_INFERENCE_H_
#define DEJAVU_IR_CORE_INFERENCE_H_

#include <vector>

#include "ir/base/Status.h"
#include "ir/core/Operation.h"
#include "ir/core/TypePattern.h"

namespace dejavu {

/// Matches `operands` against the patterns. The error reads
/// `'model.linear' op operand #1 ('w') must be float<N, 768>, but is f16<64, 64>`.
[[nodiscard]] absl::StatusOr<DimBindings> MatchOperands(const OpSchema& schema, const std::vector<Value*>& operands);

/// The result types that the schema's patterns give; an error if the operands do not fit or a result stays open.
[[nodiscard]] absl::StatusOr<std::vector<Type>> InferResultTypes(const OpSchema& schema,
                                                                 const std::vector<Value*>& operands);

/// Everything the schema says: operand count and types, attribute names and kinds, result types, the op's own verifier.
[[nodiscard]] absl::Status VerifyOperation(const Operation& op);

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_INFERENCE_H_
