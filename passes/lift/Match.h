// Small steps that lifting passes share: looking through views, reading constants, going to rows and back.
#ifndef DEJAVU_PASSES_LIFT_MATCH_H_
#define DEJAVU_PASSES_LIFT_MATCH_H_

#include <optional>
#include <utility>

#include "ir/core/Builder.h"

namespace dejavu {

/// The value behind any model.view and onnx.Identity.
[[nodiscard]] Value* Through(Value* value);
/// The producer of Through(value) if it is an `op_name`, else null.
[[nodiscard]] Operation* ProducerIf(Value* value, std::string_view op_name);
/// The weight behind `value`, or null.
[[nodiscard]] const Weight* WeightOf(Value* value);
/// The one element of the constant behind `value`, or nothing.
[[nodiscard]] std::optional<double> ScalarOf(Value* value);
/// The operand of the two-operand `op` that comes from `producer`, first, and the other one; nothing if neither does.
[[nodiscard]] std::optional<std::pair<Operation*, Value*>> SplitBy(const Operation& op, std::string_view producer);
/// The operand of the two-operand `op` that is a weight of rank `rank`, first, and the other one.
[[nodiscard]] std::optional<std::pair<const Weight*, Value*>> SplitByWeight(const Operation& op, size_t rank);

/// The dimensions that are not the number 1.
[[nodiscard]] Shape WithoutOnes(const Type& type);
/// `x` as f32<rows, width>, through a new view if it is not that already; an error naming `op` if it has another rank.
[[nodiscard]] absl::StatusOr<Value*> AsRows(Builder& builder, Value* x, const Operation& op);
/// Makes the users of `old`'s result read `rows`, viewed in the type they knew.
void ReplaceByView(Builder& builder, Operation* old, Value* rows);
/// Erases what nothing reads any more, and counts it.
template <typename Context>
void Sweep(Function& function, Context& context) {
  context.Count("dead ops erased", static_cast<int64_t>(function.EraseDeadOps()));
}
/// The operations now in `function`; safe to walk while the function changes, as long as no listed one is erased.
[[nodiscard]] std::vector<Operation*> OpsOf(const Function& function, std::string_view op_name);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_LIFT_MATCH_H_
