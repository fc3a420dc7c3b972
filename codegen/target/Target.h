// A device that kernels can be compiled for.
#ifndef DEJAVU_CODEGEN_TARGET_TARGET_H_
#define DEJAVU_CODEGEN_TARGET_TARGET_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "codegen/target/KernelTable.h"
#include "ir/base/Status.h"

namespace dejavu {

/// Object code for one instruction set, as it is stored in an artifact.
struct CompiledCode {
  std::string isa;   // x86-64-v4, sm_90
  std::string file;  // cpu-x86-64-v4.so, sm_90.cubin
  std::vector<std::byte> bytes;
};

/// Stateless; threads may share it.
class Target {
 public:
  virtual ~Target() = default;
  /// The name in --target= and in plan-<name>.json.
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual const KernelTable& kernels() const = 0;
  /// The instruction sets that Compile knows, from the most portable to the most capable.
  [[nodiscard]] virtual std::vector<std::string> isas() const = 0;
  /// The best instruction set of this machine; an error if it is none of isas(), or if that cannot be known.
  [[nodiscard]] virtual absl::StatusOr<std::string> HostIsa() const = 0;
  /// Code that defines the symbol of each spec, repeated ones once, and what the runtime calls beside its builtins.
  /// Equal input gives equal bytes.
  [[nodiscard]] virtual absl::StatusOr<CompiledCode> Compile(absl::Span<const KernelSpec> specs,
                                                             std::string_view isa) const = 0;
  /// The forms in which EmitText prints code, as --emit= names them.
  [[nodiscard]] virtual std::vector<std::string> formats() const = 0;
  /// The same code as readable text in one of formats().
  [[nodiscard]] virtual absl::StatusOr<std::string> EmitText(absl::Span<const KernelSpec> specs, std::string_view isa,
                                                             std::string_view format) const = 0;
  /// Whether the target runs the module's function of that name. Every target runs what DecodeName() names; a runtime
  /// without "prefill" decodes a prompt token by token.
  [[nodiscard]] virtual bool Runs(std::string_view function) const = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_TARGET_TARGET_H_
