#include "codegen/cuda/CudaBackend.h"

#include <algorithm>

#include "codegen/cuda/CudaSource.h"
#include "codegen/cuda/Nvrtc.h"
#include "ir/base/Phases.h"

namespace dejavu {
namespace {

class CudaBackendImpl final : public Target {
 public:
  [[nodiscard]] std::string_view name() const override { return "cuda"; }
  [[nodiscard]] const KernelTable& kernels() const override { return CudaKernels(); }
  [[nodiscard]] std::vector<std::string> isas() const override { return {"sm_80", "sm_90"}; }

  [[nodiscard]] absl::StatusOr<std::string> HostIsa() const override {
    return UsageError("--target: name a GPU architecture, as in --target=cuda:sm_90");
  }

  [[nodiscard]] absl::StatusOr<CompiledCode> Compile(absl::Span<const KernelSpec> specs,
                                                     std::string_view isa) const override {
    ASSIGN_OR_RETURN(const std::string bytes, Run(specs, isa, CudaOutput::kCubin));
    CompiledCode code{std::string(isa), std::string(isa) + ".cubin", {}};
    const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
    code.bytes.assign(begin, begin + bytes.size());
    return code;
  }

  [[nodiscard]] std::vector<std::string> formats() const override { return {"cuda", "ptx"}; }

  [[nodiscard]] absl::StatusOr<std::string> EmitText(absl::Span<const KernelSpec> specs, std::string_view isa,
                                                     std::string_view format) const override {
    if (format == "cuda") {
      return Source(specs, isa);
    }
    if (format != "ptx") {
      return BugError("the target cuda does not print ", std::string(format));
    }
    return Run(specs, isa, CudaOutput::kPtx);
  }

  [[nodiscard]] bool Runs(std::string_view function) const override {
    return SequencesOf(function) > 0 || function == "prefill";
  }

 private:
  absl::StatusOr<std::string> Source(absl::Span<const KernelSpec> specs, std::string_view isa) const {
    const std::vector<std::string> known = isas();
    if (std::find(known.begin(), known.end(), isa) == known.end()) {
      return UsageError("unknown GPU architecture '", std::string(isa), "'; known: sm_80, sm_90");
    }
    return EmitCudaSource(specs, isa);
  }

  absl::StatusOr<std::string> Run(absl::Span<const KernelSpec> specs, std::string_view isa, CudaOutput output) const {
    ASSIGN_OR_RETURN(const std::string source, Source(specs, isa));
    return CompileCuda(source, isa, output);
  }
};

}  // namespace

const Target& CudaBackend() {
  static const CudaBackendImpl backend;
  return backend;
}

absl::StatusOr<std::string> EmitCudaSource(absl::Span<const KernelSpec> specs, std::string_view isa) {
  CudaSource source(isa);
  for (const KernelSpec& spec : specs) {
    RETURN_IF_ERROR(CudaKernels().Emit(source, spec));
  }
  return source.Text();
}

}  // namespace dejavu
