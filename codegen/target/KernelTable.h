// One kernel table per target: it alone answers "supported?", names the symbols, emits the code, states the cost and,
// on a device with grids of threads, the grid.
#ifndef DEJAVU_CODEGEN_TARGET_KERNELTABLE_H_
#define DEJAVU_CODEGEN_TARGET_KERNELTABLE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/target/KernelSpec.h"
#include "ir/base/Status.h"
#include "runtime/artifact/Plan.h"

namespace dejavu {

/// What a target's emitters write into; each target derives its own and only ever gets that one back.
class EmitContext {
 public:
  virtual ~EmitContext() = default;
};

/// What all targets share about a kernel. `symbol` and `cost` take a spec that `supports` accepts.
struct KernelDefinition {
  std::string_view name;
  /// The runtime brings this kernel itself and the symbol is empty. A target may emit what its runtime calls beside it.
  bool builtin;
  /// OK, or an Unimplemented error that says which operand or attribute is outside the kernel's signature.
  absl::Status (*supports)(const KernelSpec&);
  /// `<kernel>_<dtype>_<dims>[_flags]`; specs with equal code have equal symbols and no others do.
  std::string (*symbol)(const KernelSpec&);
  KernelCost (*cost)(const KernelSpec&);
};

/// The kernel that makes the weights of synthetic models, for targets whose runtime does that on the device.
inline constexpr char kSyntheticFillKernel[] = "synthetic_fill";
/// The kernel that makes the chosen token the next one, for targets whose runtime lets the device go on by itself.
inline constexpr char kAdvanceKernel[] = "advance";
/// A kernel that does the work of several launches at once, its parts; none of them waits for another.
inline constexpr char kJointKernel[] = "joint";
/// Whether the runtime runs the kernel by itself: no launch of a plan names it, and its spec is empty.
[[nodiscard]] inline bool IsRuntimeKernel(std::string_view kernel) {
  return kernel == kSyntheticFillKernel || kernel == kAdvanceKernel;
}

/// All kernels, in the order of the forward pass.
[[nodiscard]] const std::vector<KernelDefinition>& KernelDefinitions();

/// What a target has for one kernel. `emit` and `grid` take a spec that the definition and `limits` accept.
struct KernelEmitter {
  std::string_view kernel;
  void (*emit)(EmitContext& context, const KernelSpec& spec) = nullptr;
  /// How a launch is spread over a device of an instruction set; null for a CPU, whose threads share any launch.
  /// Nothing for a joint kernel that an instruction set has not.
  std::optional<LaunchGrid> (*grid)(const KernelSpec& spec, std::string_view isa) = nullptr;
  /// What the target accepts of the specs that the definition supports: OK, or an Unimplemented error. Null: all.
  absl::Status (*limits)(const KernelSpec& spec) = nullptr;
  /// On devices that start a launch before those ahead of it end: this kernel lets the next one start at once. All
  /// others do when they have waited for those ahead of them.
  bool lets_next_start_first = false;
};

/// A definition with a target's emitter, which may be empty for a builtin.
struct KernelEntry {
  const KernelDefinition* definition;
  KernelEmitter emitter;

  [[nodiscard]] std::string_view name() const { return definition->name; }
  [[nodiscard]] bool builtin() const { return definition->builtin; }
};

/// Immutable after construction, so threads may share it.
class KernelTable {
 public:
  /// Entries for the builtins, with or without an emitter, and for each kernel that has one.
  KernelTable(std::string_view target, const std::vector<KernelEmitter>& emitters);

  [[nodiscard]] const std::vector<KernelEntry>& entries() const { return entries_; }
  /// The entry of the kernel, or null.
  [[nodiscard]] const KernelEntry* Find(std::string_view kernel) const;
  /// OK if Emit can emit `spec`, or if it is a builtin's; otherwise says why not.
  [[nodiscard]] absl::Status Supports(const KernelSpec& spec) const;
  /// The symbol; empty for a builtin. An error if the spec is not supported. The same holds for Cost, Grid and Emit.
  [[nodiscard]] absl::StatusOr<std::string> Symbol(const KernelSpec& spec) const;
  [[nodiscard]] absl::StatusOr<KernelCost> Cost(const KernelSpec& spec) const;
  /// Nothing for a builtin, on targets without grids, and for a joint kernel that `isa` has not.
  [[nodiscard]] absl::StatusOr<std::optional<LaunchGrid>> Grid(const KernelSpec& spec, std::string_view isa) const;
  /// Whether a launch after one of `kernel` starts only when all that came before that one has ended: so it is where
  /// grids are launched, except after kernels that let it start first; a joint kernel doesn't.
  [[nodiscard]] bool NextFindsEarlierEnded(std::string_view kernel) const;
  /// Emits, for a builtin, what the runtime calls beside it, if anything.
  [[nodiscard]] absl::Status Emit(EmitContext& context, const KernelSpec& spec) const;

 private:
  std::string target_;
  std::vector<KernelEntry> entries_;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_TARGET_KERNELTABLE_H_
