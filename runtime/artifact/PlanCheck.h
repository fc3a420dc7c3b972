// Bounds of a plan: no argument may reach outside its buffer.
#ifndef DEJAVU_RUNTIME_ARTIFACT_PLANCHECK_H_
#define DEJAVU_RUNTIME_ARTIFACT_PLANCHECK_H_

#include <cstdint>

#include "absl/status/status.h"
#include "runtime/artifact/Plan.h"

namespace dejavu {

/// Checks a parsed plan against itself and the width `vocab` of the logits. See ParsePlan().
[[nodiscard]] absl::Status CheckPlan(const Plan& plan, int64_t vocab);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_PLANCHECK_H_
