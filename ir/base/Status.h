// Errors as values. Every fallible function returns absl::Status or absl::StatusOr; nothing throws across a room's
// border.
#ifndef DEJAVU_IR_BASE_STATUS_H_
#define DEJAVU_IR_BASE_STATUS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace dejavu {

/// The user's input is wrong; the message names the file, node or flag and what to do. Tools exit with 1.
template <typename... Args>
[[nodiscard]] absl::Status UserError(const Args&... args) {
  return absl::InvalidArgumentError(absl::StrCat(args...));
}

/// The command line asks for something that is not a use of the tool. Tools exit with 2.
template <typename... Args>
[[nodiscard]] absl::Status UsageError(const Args&... args) {
  return absl::FailedPreconditionError(absl::StrCat(args...));
}

/// DejaVu broke one of its own promises. Tools print how to report it and exit with 70.
template <typename... Args>
[[nodiscard]] absl::Status BugError(const Args&... args) {
  return absl::InternalError(absl::StrCat(args...));
}

/// The same error with `context` in front, as in "model.onnx: truncated"; an OK status stays OK.
[[nodiscard]] absl::Status WithContext(const absl::Status& status, absl::string_view context);

/// The process exit code that the command-line contract assigns to `status`: 0, 1 (user), 2 (usage) or 70 (bug).
[[nodiscard]] int ExitCode(const absl::Status& status);

/// Prints `TOOL: error: MESSAGE` to stderr, for a bug also how to report it, and returns ExitCode(status).
int ReportAndExitCode(absl::string_view tool, const absl::Status& status);

}  // namespace dejavu

#define DEJAVU_CONCAT_INNER(a, b) a##b
#define DEJAVU_CONCAT(a, b) DEJAVU_CONCAT_INNER(a, b)

/// Returns the status from the enclosing function unless it is OK.
#define RETURN_IF_ERROR(expr)                           \
  do {                                                  \
    if (absl::Status status_ = (expr); !status_.ok()) { \
      return status_;                                   \
    }                                                   \
  } while (false)

#define ASSIGN_OR_RETURN_IMPL(result, lhs, expr) \
  auto result = (expr);                          \
  if (!result.ok()) {                            \
    return std::move(result).status();           \
  }                                              \
  lhs = *std::move(result)

/// Declares or assigns `lhs` from a StatusOr, returning its status from the enclosing function on failure.
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_IMPL(DEJAVU_CONCAT(status_or_, __LINE__), lhs, expr)

#endif  // DEJAVU_IR_BASE_STATUS_H_
