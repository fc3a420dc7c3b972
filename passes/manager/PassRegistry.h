// All passes by name.
#ifndef DEJAVU_PASSES_MANAGER_PASSREGISTRY_H_
#define DEJAVU_PASSES_MANAGER_PASSREGISTRY_H_

#include <string>
#include <string_view>

#include "passes/manager/Pass.h"

namespace dejavu {

/// In the order in which the full pipeline runs them.
[[nodiscard]] absl::Span<const PassInfo* const> AllPasses();
[[nodiscard]] const PassInfo* FindPass(std::string_view name);
/// The text of passes/PASSES.md.
[[nodiscard]] std::string PassesMarkdown();

}  // namespace dejavu

#endif  // DEJAVU_PASSES_MANAGER_PASSREGISTRY_H_
