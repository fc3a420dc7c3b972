// Attribute values of operations and modules.
#ifndef DEJAVU_IR_CORE_ATTRIBUTE_H_
#define DEJAVU_IR_CORE_ATTRIBUTE_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "ir/base/DType.h"

namespace dejavu {

/// A small constant tensor that is printed in full, as `i64<2>[1, -1]`; `floats` holds the elements of a float dtype,
/// `ints` those of an integer or bool dtype, row-major.
struct TensorLiteral {
  DType dtype = DType::kI64;
  std::vector<int64_t> dims;
  std::vector<double> floats;
  std::vector<int64_t> ints;
  friend bool operator==(const TensorLiteral&, const TensorLiteral&) = default;
};

/// Printed as true, 3, 1e-05, "text", [1, 2] and i64<2>[1, -1].
using Attribute = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>, TensorLiteral>;
/// Ordered by name, so that printing is deterministic.
using AttributeMap = std::map<std::string, Attribute, std::less<>>;

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_ATTRIBUTE_H_
