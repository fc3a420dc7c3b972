// One kernel table per target: it alone answers "supported?", names the symbols, emits the code and states the cost.
#ifndef DEJAVU_CODEGEN_TARGET_KERNELTABLE_H_
#define DEJAVU_CODEGEN_TARGET_KERNELTABLE_H_

#include <string>
#include <string_view>
#include <vector>

#include "codegen/target/KernelSpec.h"
#include "ir/base/Status.h"

namespace dejavu {

/// What a target's emitters write into; each target derives its own and only ever gets that one back.
class EmitContext {
 public:
  virtual ~EmitContext() = default;
};

/// What all targets share about a kernel. `symbol` and `cost` take a spec that `supports` accepts.
struct KernelDefinition {
  std::string_view name;
  /// The runtime brings this kernel itself: nothing is emitted and the symbol is empty.
  bool builtin;
  /// OK, or an Unimplemented error that says which operand or attribute is outside the kernel's signature.
  absl::Status (*supports)(const KernelSpec&);
  /// `<kernel>_<dtype>_<dims>[_flags]`; specs with equal code have equal symbols and no others do.
  std::string (*symbol)(const KernelSpec&);
  KernelCost (*cost)(const KernelSpec&);
};

/// All kernels, in the order of the forward pass.
[[nodiscard]] const std::vector<KernelDefinition>& KernelDefinitions();

/// A definition with a target's emitter, which is null for a builtin.
struct KernelEntry {
  const KernelDefinition* definition;
  void (*emit)(EmitContext& context, const KernelSpec& spec);

  [[nodiscard]] std::string_view name() const { return definition->name; }
  [[nodiscard]] bool builtin() const { return definition->builtin; }
};

/// Immutable after construction, so threads may share it.
class KernelTable {
 public:
  struct Emitter {
    std::string_view kernel;
    void (*emit)(EmitContext& context, const KernelSpec& spec);
  };
  /// Entries for the builtins and for each kernel that has an emitter.
  KernelTable(std::string_view target, const std::vector<Emitter>& emitters);

  [[nodiscard]] const std::vector<KernelEntry>& entries() const { return entries_; }
  /// The entry of the kernel, or null.
  [[nodiscard]] const KernelEntry* Find(std::string_view kernel) const;
  /// OK if Emit can emit `spec`, or if it is a builtin's; otherwise says why not.
  [[nodiscard]] absl::Status Supports(const KernelSpec& spec) const;
  /// The symbol; empty for a builtin. An error if the spec is not supported. The same holds for Cost and Emit.
  [[nodiscard]] absl::StatusOr<std::string> Symbol(const KernelSpec& spec) const;
  [[nodiscard]] absl::StatusOr<KernelCost> Cost(const KernelSpec& spec) const;
  /// Emits nothing for a builtin.
  [[nodiscard]] absl::Status Emit(EmitContext& context, const KernelSpec& spec) const;

 private:
  std::string target_;
  std::vector<KernelEntry> entries_;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_TARGET_KERNELTABLE_H_
