#include "codegen/cpu/CpuKernels.h"

#include "codegen/cpu/CpuBackend.h"

namespace dejavu {

const KernelTable& CpuKernels() {
  static const KernelTable table("cpu", {{"linear", &EmitLinear}});
  return table;
}

std::string CpuSymbol(const KernelSpec& spec) { return CpuKernels().Symbol(spec).value(); }

}  // namespace dejavu
