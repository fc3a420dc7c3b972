// The targets that this build knows.
#ifndef DEJAVU_CODEGEN_TARGET_TARGETREGISTRY_H_
#define DEJAVU_CODEGEN_TARGET_TARGETREGISTRY_H_

#include <string_view>
#include <vector>

#include "codegen/target/Target.h"

namespace dejavu {

/// All targets; they live as long as the process.
[[nodiscard]] const std::vector<const Target*>& Targets();
/// The target of that name, or a usage error that lists the known names.
[[nodiscard]] absl::StatusOr<const Target*> FindTarget(std::string_view name);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_TARGET_TARGETREGISTRY_H_
