// Checks a module at [sched] as code generation needs it: what compiled kernels will no longer look at.
#ifndef DEJAVU_IR_VERIFY_SCHEDULEVERIFIER_H_
#define DEJAVU_IR_VERIFY_SCHEDULEVERIFIER_H_

#include <cstdint>

#include "ir/base/Status.h"
#include "ir/core/Module.h"

namespace dejavu {

/// The most bytes that `value`, a result of `op`, takes in the arena in a call of `max_tokens` tokens. An error if that
/// cannot be said of its type.
[[nodiscard]] absl::StatusOr<int64_t> ResultBytes(const Operation& op, const Value& value, int64_t max_tokens);

/// Whether @prefill and @decode, whose ops passed VerifyModule(), can run as they are: the module's facts are there and
/// fit the tables, both functions take the same caches, lists of neurons fit the matrices that they index, and no two
/// results share bytes of the arena while both are needed.
[[nodiscard]] absl::Status VerifySchedule(const Module& module);

}  // namespace dejavu

#endif  // DEJAVU_IR_VERIFY_SCHEDULEVERIFIER_H_
