// Links one object file to a shared object, with LLD as a library.
#ifndef DEJAVU_CODEGEN_CPU_LINK_H_
#define DEJAVU_CODEGEN_CPU_LINK_H_

#include <cstddef>
#include <vector>

#include "absl/types/span.h"
#include "codegen/cpu/CpuTarget.h"

namespace dejavu {

/// The shared object; a bug error if `object` has undefined symbols. Threads may call it at once: LLD keeps global
/// state, so calls wait for each other. Works through a temporary folder, which is always removed.
[[nodiscard]] absl::StatusOr<std::vector<std::byte>> LinkSharedObject(absl::Span<const char> object,
                                                                      const CpuTarget& isa);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_LINK_H_
