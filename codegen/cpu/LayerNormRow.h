// The layer norm of one row: a kernel of its own, or in front of another.
#ifndef DEJAVU_CODEGEN_CPU_LAYERNORMROW_H_
#define DEJAVU_CODEGEN_CPU_LAYERNORMROW_H_

#include "codegen/cpu/KernelBuilder.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu {

/// What a layer norm reads: f32 (width) each.
struct NormOperands {
  llvm::Value* x;
  llvm::Value* gamma;
  llvm::Value* beta;
};

/// y[i] = (x[i] - mean) / sqrt(variance + epsilon) * gamma[i] + beta[i]. The same bits wherever it is emitted.
void NormaliseRow(KernelBuilder& b, const NormOperands& operands, int64_t width, float epsilon, llvm::Value* y);

/// The row of one token that a kernel works on: x itself, or, where the kernel has a norm, a local array that every
/// thread fills by itself.
[[nodiscard]] llvm::Value* NormedRow(KernelBuilder& b, const NormOperands& operands, int64_t width, const Norm& norm);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_LAYERNORMROW_H_
