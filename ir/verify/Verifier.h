// Checks whole modules: every op against its schema, definitions before uses, and each stratum's legality.
#ifndef DEJAVU_IR_VERIFY_VERIFIER_H_
#define DEJAVU_IR_VERIFY_VERIFIER_H_

#include <string>
#include <vector>

#include "ir/core/Module.h"

namespace dejavu {

/// One finding; `line` is 0 where the operation did not come from text.
struct Diagnostic {
  int line = 0;
  int column = 0;
  std::string message;
};

/// All findings, in the order of the text.
[[nodiscard]] std::vector<Diagnostic> FindErrors(const Module& module);

/// The first finding as a status: `FILE:LINE:COLUMN: error: MESSAGE`, with a note that names the ONNX node.
/// `file` may be empty.
[[nodiscard]] absl::Status VerifyModule(const Module& module, std::string_view file = "");

/// Whether every operand that a model or sparse op takes as `float<...>`, `i8<...>` or rows of a table is a weight, as
/// passes that derive weights need it. The error names the operand.
[[nodiscard]] absl::Status RequireWeights(const Function& function);

/// Whether ops of `family` may stand in a module at `stage`: each stratum has its own family; [sparse] keeps model ops.
[[nodiscard]] bool IsLegalAt(std::string_view stage, std::string_view family);

}  // namespace dejavu

#endif  // DEJAVU_IR_VERIFY_VERIFIER_H_
