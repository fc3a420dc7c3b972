// Looks at a graph by running it at a few sizes, with weights whose contents nobody needs to know.
//
// Exporters write the same model with very different shape arithmetic and mask code, all of which depends only on the
// sizes of the inputs. Evaluating it says what it means; matching its form would mean a pattern per exporter version.
#ifndef DEJAVU_PASSES_LIFT_PROBE_H_
#define DEJAVU_PASSES_LIFT_PROBE_H_

#include <array>
#include <map>
#include <optional>

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"
#include "ir/interp/Tensor.h"

namespace dejavu {

/// Batch 1, `tokens` new tokens after `past` earlier ones, nothing padded.
struct ProbeSize {
  int64_t tokens;
  int64_t past;
};

/// What each value of a function is at several sizes. Sizes, integers and masks have known contents; whatever depends
/// on a float weight has only a shape. Holds pointers into the function: compute it anew after changing it.
class Probe {
 public:
  static constexpr size_t kCount = 3;

  /// Errors name the node that could not be evaluated or the input that is not an OPT decoder's.
  [[nodiscard]] static absl::StatusOr<Probe> Run(const Module& module, const Function& function, WeightStore* weights);

  [[nodiscard]] const ProbeSize& size(size_t probe) const { return sizes_[probe]; }
  /// The value at that size; weights too. Null if it was not evaluated.
  [[nodiscard]] const Tensor* Find(size_t probe, const Value* value) const;
  /// Whether the contents are known at every size.
  [[nodiscard]] bool IsKnown(const Value* value) const;
  /// The dimension that has these sizes: a number, tokens, past or context.
  [[nodiscard]] std::optional<Dim> Fit(const std::array<int64_t, kCount>& dims) const;

 private:
  std::array<ProbeSize, kCount> sizes_{};
  std::array<std::map<const Value*, Tensor>, kCount> values_;
};

/// One tensor per argument of an ONNX graph or lifted function, for `tokens` after no past: input_ids, attention_mask,
/// position_ids, empty past_key_values; tokens, past, empty caches.
[[nodiscard]] absl::StatusOr<std::vector<Tensor>> ArgumentsFor(const Function& function,
                                                               const std::vector<int64_t>& tokens);

/// True for an argument that holds an earlier token's keys or values, as Optimum names them.
[[nodiscard]] bool IsPastArgument(const Value& argument);
/// True for a cache of a lifted function.
[[nodiscard]] bool IsCacheArgument(const Value& argument);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_LIFT_PROBE_H_
