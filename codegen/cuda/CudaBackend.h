// The CUDA target: kernels as instances of CUDA C++ templates, compiled by NVRTC, with or without a GPU.
#ifndef DEJAVU_CODEGEN_CUDA_CUDABACKEND_H_
#define DEJAVU_CODEGEN_CUDA_CUDABACKEND_H_

#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "codegen/target/Target.h"

namespace dejavu {

/// The target "cuda". Each of its code files defines one kernel per symbol:
///   extern "C" __global__ void SYMBOL(void* operand..., void* result..., const Dims* dims[, void* scratch]);
/// Absent operands are null, `dims` is {int64 tokens of this call, int64 tokens in the cache} in device memory, and the
/// scratch argument is there where the launch's grid asks for scratch. Results are equal bits from run to run.
[[nodiscard]] const Target& CudaBackend();

/// The kernels that the CUDA target emits, with their grids, and the builtins of its runtime.
[[nodiscard]] const KernelTable& CudaKernels();

/// The translation unit for `specs` on devices of `isa`: includes of the kernels' headers and one instance for each
/// symbol.
[[nodiscard]] absl::StatusOr<std::string> EmitCudaSource(absl::Span<const KernelSpec> specs, std::string_view isa);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_CUDABACKEND_H_
