// The instruction sets that the CPU target compiles for.
#ifndef DEJAVU_CODEGEN_CPU_CPUTARGET_H_
#define DEJAVU_CODEGEN_CPU_CPUTARGET_H_

#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "ir/base/Status.h"

namespace dejavu {

/// One instruction set, as LLVM and the emitters need to know it.
struct CpuTarget {
  std::string_view name;    // x86-64-v2, x86-64-v3, x86-64-v4 (levels of the x86-64 psABI), aarch64
  std::string_view triple;  // LLVM's target triple
  std::string_view cpu;     // LLVM's -mcpu
  /// The linker's name of the object format, for ld's -m.
  std::string_view emulation;
  int vector_floats;  // 32-bit lanes of the widest vector
  int registers;      // vector registers
  bool x86;
  bool native_half;  // converts a vector of halves to floats in one instruction
};

/// All of them; those of one architecture from the most portable to the most capable.
[[nodiscard]] absl::Span<const CpuTarget> CpuTargets();
/// The target of that name, or a usage error that lists the known names.
[[nodiscard]] absl::StatusOr<const CpuTarget*> FindCpuTarget(std::string_view name);
/// Whether this machine can run the target's code.
[[nodiscard]] bool HostRuns(const CpuTarget& target);
/// The most capable target that this machine runs, or a user error.
[[nodiscard]] absl::StatusOr<const CpuTarget*> HostCpuTarget();

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_CPUTARGET_H_
