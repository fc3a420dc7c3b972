#include "codegen/cpu/CpuBackend.h"

namespace dejavu {
namespace {

class CpuBackendImpl final : public Target {
 public:
  [[nodiscard]] std::string_view name() const override { return "cpu"; }
  [[nodiscard]] const KernelTable& kernels() const override { return CpuKernels(); }

  [[nodiscard]] std::vector<std::string> isas() const override {
    std::vector<std::string> names;
    for (const CpuTarget& target : CpuTargets()) {
      names.emplace_back(target.name);
    }
    return names;
  }

  [[nodiscard]] absl::StatusOr<std::string> HostIsa() const override {
    ASSIGN_OR_RETURN(const CpuTarget* target, HostCpuTarget());
    return std::string(target->name);
  }

  [[nodiscard]] absl::StatusOr<CompiledCode> Compile(absl::Span<const KernelSpec> specs,
                                                     std::string_view isa) const override {
    ASSIGN_OR_RETURN(const CpuTarget* target, FindCpuTarget(isa));
    CompiledCode code{std::string(isa), "cpu-" + std::string(isa) + ".so", {}};
    ASSIGN_OR_RETURN(code.bytes, CompileCpu(specs, *target));
    return code;
  }

  [[nodiscard]] std::vector<std::string> formats() const override { return {"llvm"}; }

  [[nodiscard]] absl::StatusOr<std::string> EmitText(absl::Span<const KernelSpec> specs, std::string_view isa,
                                                     std::string_view format) const override {
    if (format != "llvm") {
      return BugError("the target cpu does not print ", std::string(format));
    }
    ASSIGN_OR_RETURN(const CpuTarget* target, FindCpuTarget(isa));
    return EmitCpuLlvmText(specs, *target);
  }

  [[nodiscard]] bool Runs(std::string_view function) const override {
    static_cast<void>(function);
    return true;
  }
};

}  // namespace

const Target& CpuBackend() {
  static const CpuBackendImpl backend;
  return backend;
}

}  // namespace dejavu
