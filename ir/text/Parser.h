// Text to modules.
#ifndef DEJAVU_IR_TEXT_PARSER_H_
#define DEJAVU_IR_TEXT_PARSER_H_

#include <memory>
#include <string_view>

#include "ir/core/Module.h"
#include "ir/text/Lexer.h"

namespace dejavu {

/// Parses one module. Errors read `FILE:LINE:COLUMN: error: ...`. Checks syntax, names and op names; the verifier
/// checks the rest. Operations keep their line and column for later messages. `file` is only for messages.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Module>> ParseModule(std::string_view text, std::string_view file);

/// Parses one attribute value at the lexer's position.
[[nodiscard]] absl::StatusOr<Attribute> ParseAttribute(Lexer& lexer);

}  // namespace dejavu

#endif  // DEJAVU_IR_TEXT_PARSER_H_
