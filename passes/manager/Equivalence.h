// Whether two modules compute the same logits, by the interpreter.
#ifndef DEJAVU_PASSES_MANAGER_EQUIVALENCE_H_
#define DEJAVU_PASSES_MANAGER_EQUIVALENCE_H_

#include <vector>

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// The logits after the last of `tokens`, in float64 without intermediate rounding, by every path that the module has:
/// the whole graph (@main or @forward), or @prefill over all tokens and @prefill over all but one followed by @decode.
[[nodiscard]] absl::StatusOr<std::vector<std::vector<double>>> InterpretLogits(const Module& module,
                                                                               WeightStore& weights,
                                                                               const std::vector<int64_t>& tokens);

/// ||a - b|| / ||b||; infinity if the lengths differ or a value is not finite where the other is not the same.
[[nodiscard]] double RelativeError(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_MANAGER_EQUIVALENCE_H_
