// Modules as text. What prints parses, and prints again byte for byte.
#ifndef DEJAVU_IR_TEXT_PRINTER_H_
#define DEJAVU_IR_TEXT_PRINTER_H_

#include <string>

#include "ir/core/Module.h"

namespace dejavu {

[[nodiscard]] std::string PrintModule(const Module& module);
/// true, 3, 1e-05, "text", [1, 2], i64<2>[1, -1]
[[nodiscard]] std::string PrintAttribute(const Attribute& attribute);
/// `{a = 1, b = true}`; empty for an empty map.
[[nodiscard]] std::string PrintAttributes(const AttributeMap& attributes);

}  // namespace dejavu

#endif  // DEJAVU_IR_TEXT_PRINTER_H_
