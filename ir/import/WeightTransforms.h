// Weights computed from weights: the layouts and copies that passes ask for by name.
#ifndef DEJAVU_IR_IMPORT_WEIGHTTRANSFORMS_H_
#define DEJAVU_IR_IMPORT_WEIGHTTRANSFORMS_H_

#include <string_view>
#include <vector>

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// One way of deriving a weight. Both functions get as many sources as the transform takes; errors say what is wrong
/// with them and leave the naming of the weight to the caller.
struct WeightTransform {
  std::string_view name;
  std::string_view summary;
  size_t min_sources;
  size_t max_sources;
  absl::StatusOr<Type> (*infer)(const std::vector<Type>& sources);
  absl::StatusOr<WeightData> (*compute)(const std::vector<WeightData>& sources);
};

/// transpose, concat, widen, zeros, quantize, quantize4, quantized_rows, row_scales, row_scales4, and those of
/// CopyTransforms.h; null for another name.
[[nodiscard]] const WeightTransform* FindWeightTransform(std::string_view name);

/// The elements of a float weight as f32, row by row: what "widen" makes of it.
[[nodiscard]] absl::StatusOr<std::vector<float>> ReadFloats(const Weight& weight, WeightStore& store);

/// Checks every derived weight of a module that was read from text: its transform exists and gives its type.
[[nodiscard]] absl::Status VerifyDerivedWeights(const Module& module);

/// Adds the weight `name` = `transform`(sources) to `module`, or returns the one that is there already. If `name` means
/// something else there, a number is appended. The transpose of a transposed weight is the weight itself.
/// Aborts on a transform that does not fit: passes must not ask for it.
Weight* AddDerivedWeight(Module& module, const std::string& name, std::string_view transform,
                         std::vector<const Weight*> sources);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_WEIGHTTRANSFORMS_H_
