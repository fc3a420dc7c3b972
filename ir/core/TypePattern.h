// The type patterns of op schemas: matching operand types and deriving result types.
#ifndef DEJAVU_IR_CORE_TYPEPATTERN_H_
#define DEJAVU_IR_CORE_TYPEPATTERN_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "ir/core/Type.h"

namespace dejavu {

/// Dimension variables bound so far while matching one operation.
using DimBindings = std::map<char, Dim>;

/// Matches `type` against `pattern` (see PortSpec), binding its new variables. False leaves `bindings` unspecified.
[[nodiscard]] bool MatchTypePattern(std::string_view pattern, const Type& type, DimBindings& bindings);

/// The type that `pattern` stands for, or nothing if it leaves a dimension or the element type open.
[[nodiscard]] std::optional<Type> InstantiateTypePattern(std::string_view pattern, const DimBindings& bindings);

/// The pattern with its bound variables filled in, for messages: `float<N, 768>`.
[[nodiscard]] std::string FillTypePattern(std::string_view pattern, const DimBindings& bindings);

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_TYPEPATTERN_H_
