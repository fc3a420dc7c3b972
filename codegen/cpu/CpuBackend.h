// The CPU target: kernels as LLVM IR, compiled and linked in process to a shared object.
#ifndef DEJAVU_CODEGEN_CPU_CPUBACKEND_H_
#define DEJAVU_CODEGEN_CPU_CPUBACKEND_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "codegen/cpu/CpuTarget.h"
#include "codegen/target/Target.h"

namespace dejavu {

/// The target "cpu".
[[nodiscard]] const Target& CpuBackend();

/// The kernels that the CPU target emits, and the builtins of its runtime.
[[nodiscard]] const KernelTable& CpuKernels();

/// The bytes of a shared object for `isa` that defines one function per symbol, and nothing undefined:
///   extern "C" void SYMBOL(void* const* args, const int64_t* dims, int32_t thread, int32_t threads);
/// `args` are the operands, then the results, null where an optional one is absent; dims[0] is the number of tokens of
/// this call, dims[1] of those already in the cache. Each thread of a team calls it with its own number; results do
/// not depend on the size of the team. Equal specs share a symbol, builtins are skipped, equal input gives equal bytes.
[[nodiscard]] absl::StatusOr<std::vector<std::byte>> CompileCpu(absl::Span<const KernelSpec> specs,
                                                                const CpuTarget& isa);

/// The optimised LLVM IR that CompileCpu turns into object code.
[[nodiscard]] absl::StatusOr<std::string> EmitCpuLlvmText(absl::Span<const KernelSpec> specs, const CpuTarget& isa);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_CPUBACKEND_H_
