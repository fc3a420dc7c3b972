// Quantised copies of matrices (ir/base/QuantizedCopy.h) as derived weights.
#ifndef DEJAVU_IR_IMPORT_COPYTRANSFORMS_H_
#define DEJAVU_IR_IMPORT_COPYTRANSFORMS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "ir/import/WeightTransforms.h"

namespace dejavu {

/// What sparse.quantized_active reads of a matrix: its `copy`, its `scales` of groups, and `rows`.
enum class CopyPart : uint8_t { kCopy, kScales, kRows };

/// The name of the transform that makes a part, as "int4_copy_g64", "int4_scales_g64" and "int4_rows_g64". The first
/// two take a matrix; rows take its bias and the gamma and beta of the layer norm that makes its input as well.
[[nodiscard]] std::string CopyTransformName(CopyPart part, int64_t bits, int64_t group);

/// What the name of a transform of a part says.
struct CopyTransform {
  CopyPart part;
  int64_t bits;
  int64_t group;
};
/// Null if `name` is not such a name.
[[nodiscard]] const CopyTransform* FindCopyTransform(std::string_view name);

/// All of them. Rows with an infinity or a NaN get the scale NaN, so that their neurons are always listed.
[[nodiscard]] absl::Span<const WeightTransform> CopyTransforms();

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_COPYTRANSFORMS_H_
