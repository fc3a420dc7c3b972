// Descriptions of kernels: which template a spec instantiates, and how its launch is cut. Those of products of rows
// with a vector are declared here; the others are in CudaKernels.cc, beside the table.
#ifndef DEJAVU_CODEGEN_CUDA_DESCRIBE_H_
#define DEJAVU_CODEGEN_CUDA_DESCRIBE_H_

#include <string_view>

#include "codegen/cuda/CudaSource.h"
#include "codegen/target/KernelSpec.h"

namespace dejavu::describe {

/// Threads of a multiprocessor that kernels aim at; 64 registers each.
inline constexpr int64_t kThreadsPerSm = 1024;

[[nodiscard]] inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
/// Elements of a load of 16 bytes.
[[nodiscard]] inline int64_t PerLoad(DType dtype) { return 16 / static_cast<int64_t>(DTypeSize(dtype)); }
/// A static number of tokens, or 0: as the call says.
[[nodiscard]] inline int64_t TokensOf(const Dim& tokens) { return tokens.is_static() ? tokens.size() : 0; }

/// Each takes a spec of its kernel that the table supports.
[[nodiscard]] CudaKernel Linear(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel SparseFc1(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel CertifiedTest(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel SparseQkv(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel SparseOut(const KernelSpec& spec, std::string_view isa);
[[nodiscard]] CudaKernel QuantizedLinear(const KernelSpec& spec, std::string_view isa);

}  // namespace dejavu::describe

#endif  // DEJAVU_CODEGEN_CUDA_DESCRIBE_H_
