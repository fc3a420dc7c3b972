// conformance_compile_cases FOLDER: writes the kernels of all CUDA tests to FOLDER/conformance-<isa>.cubin, so that the
// tests run on a machine without NVRTC.
#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "codegen/cuda/CudaBackend.h"
#include "ir/base/FileUtil.h"
#include "ir/base/Status.h"
#include "tests/conformance/Cases.h"

namespace {

absl::Status Write(const std::string& folder) {
  std::vector<dejavu::KernelSpec> specs = dejavu::testing::AllSpecs();
  // What the runtime calls around its products.
  specs.push_back(dejavu::testing::GemmSpec(8, 8, dejavu::DType::kF16));
  for (const std::string& isa : dejavu::CudaBackend().isas()) {
    ASSIGN_OR_RETURN(const dejavu::CompiledCode code, dejavu::CudaBackend().Compile(specs, isa));
    const std::string_view bytes(reinterpret_cast<const char*>(code.bytes.data()), code.bytes.size());
    RETURN_IF_ERROR(dejavu::WriteFileAtomically(absl::StrCat(folder, "/conformance-", isa, ".cubin"), bytes));
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: conformance_compile_cases FOLDER\n";
    return 2;
  }
  return dejavu::ReportAndExitCode("conformance_compile_cases", Write(argv[1]));
}
