// The emitters of the CPU target. Each writes one function into a CpuModule, for a spec that the table supports.
#ifndef DEJAVU_CODEGEN_CPU_CPUKERNELS_H_
#define DEJAVU_CODEGEN_CPU_CPUKERNELS_H_

#include "codegen/target/KernelTable.h"

namespace dejavu {

void EmitEmbedTokens(EmitContext& context, const KernelSpec& spec);
void EmitEmbedPositions(EmitContext& context, const KernelSpec& spec);
void EmitLayerNorm(EmitContext& context, const KernelSpec& spec);
void EmitLinear(EmitContext& context, const KernelSpec& spec);
void EmitAdd(EmitContext& context, const KernelSpec& spec);
void EmitLastRow(EmitContext& context, const KernelSpec& spec);
void EmitAttention(EmitContext& context, const KernelSpec& spec);
void EmitCertifiedTest(EmitContext& context, const KernelSpec& spec);
void EmitArgmax(EmitContext& context, const KernelSpec& spec);
void EmitCompact(EmitContext& context, const KernelSpec& spec);
void EmitQuantizedLinear(EmitContext& context, const KernelSpec& spec);
void EmitQuantizedTest(EmitContext& context, const KernelSpec& spec);
void EmitSelect(EmitContext& context, const KernelSpec& spec);
void EmitKeepInputs(EmitContext& context, const KernelSpec& spec);
void EmitLazyQkv(EmitContext& context, const KernelSpec& spec);
void EmitSparseQkv(EmitContext& context, const KernelSpec& spec);
void EmitSparseOut(EmitContext& context, const KernelSpec& spec);
void EmitSparseFc1(EmitContext& context, const KernelSpec& spec);
void EmitSparseFc2(EmitContext& context, const KernelSpec& spec);

/// The symbol of a supported spec.
[[nodiscard]] std::string CpuSymbol(const KernelSpec& spec);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_CPUKERNELS_H_
