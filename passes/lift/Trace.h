// Follows data through reshapes and transposes by sending every element's own number through them.
#ifndef DEJAVU_PASSES_LIFT_TRACE_H_
#define DEJAVU_PASSES_LIFT_TRACE_H_

#include "ir/core/Module.h"
#include "passes/lift/Probe.h"

namespace dejavu {

/// Where the elements of a value come from.
struct Origin {
  Operation* linear = nullptr;  // the model.linear at the bottom, or what else stopped the walk
  Value* past = nullptr;        // the past_key_values argument that was joined in, or null
  double scale = 1;             // the product of all constants multiplied on the way
  /// Element codes in the value's layout at one probe: 1 + i for element i of the linear's result (tokens, H),
  /// -1 - i for element i of the past argument (1, heads, past, D).
  Tensor codes;
};

/// Walks from `value` down to one model.linear through ops that only move elements or multiply them by a constant.
/// The error names the op in the way.
[[nodiscard]] absl::StatusOr<Origin> TraceToLinear(const Module& module, const Probe& probe, size_t at, Value* value);

/// The same walk from `value` down to `source`: its codes are 1 + i for element i of `source`.
[[nodiscard]] absl::StatusOr<Origin> TraceToValue(const Module& module, const Probe& probe, size_t at, Value* value,
                                                  const Value* source);

/// Evaluates the elementwise ops between `source`, all of whose elements are set to `fill`, and `value`. Every other
/// input must be known to the probe. The error names the op in the way.
[[nodiscard]] absl::StatusOr<Tensor> EvaluateElementwise(const Module& module, const Probe& probe, size_t at,
                                                         Value* value, const Value* source, double fill);

/// The nearest op above `value` called `op_name`, through elementwise ops with one unknown operand; null if none.
[[nodiscard]] Operation* FindAbove(const Probe& probe, Value* value, std::string_view op_name);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_LIFT_TRACE_H_
