// Checks lists of neurons and heads at [sched]: who may make them, and who may read what is computed for them alone.
#ifndef DEJAVU_IR_VERIFY_LISTVERIFIER_H_
#define DEJAVU_IR_VERIFY_LISTVERIFIER_H_

#include <cstdint>
#include <string>

#include "ir/base/Status.h"
#include "ir/core/Operation.h"

namespace dejavu {

/// The op and, where it was read from text, its line: for errors.
[[nodiscard]] std::string Where(const Operation& op);

/// How many entries a list that `op` makes or reads may have: the neurons or heads that it numbers.
[[nodiscard]] int64_t ListCapacity(const Operation& op);

/// Whether the lists that `op` takes number what it indexes by them, and nothing reads what it leaves out.
[[nodiscard]] absl::Status CheckLists(const Operation& op);

}  // namespace dejavu

#endif  // DEJAVU_IR_VERIFY_LISTVERIFIER_H_
