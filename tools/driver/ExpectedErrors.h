// Tests of messages: what an input's comments expect against what it gave.
#ifndef DEJAVU_TOOLS_DRIVER_EXPECTEDERRORS_H_
#define DEJAVU_TOOLS_DRIVER_EXPECTEDERRORS_H_

#include <string>

#include "ir/base/Status.h"

namespace dejavu {

/// Compares `status`, what processing `text` gave, with the comments of `text`: `// expected-error {{part}}` expects an
/// error with that part on its own line, `@+N` and `@-N` before the braces on a line below or above, `@any` on any.
/// OK if the error is expected and nothing else is, both ways; otherwise a user error that shows the difference.
[[nodiscard]] absl::Status CheckExpectedErrors(const std::string& text, const absl::Status& status);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_EXPECTEDERRORS_H_
