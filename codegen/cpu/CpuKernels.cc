#include "codegen/cpu/CpuKernels.h"

#include "codegen/cpu/CpuBackend.h"

namespace dejavu {

const KernelTable& CpuKernels() {
  static const KernelTable table("cpu", {{"embed_tokens", &EmitEmbedTokens},
                                         {"embed_positions", &EmitEmbedPositions},
                                         {"layer_norm", &EmitLayerNorm},
                                         {"linear", &EmitLinear},
                                         {"add", &EmitAdd},
                                         {"last_row", &EmitLastRow},
                                         {"attention", &EmitAttention},
                                         {"certified_test", &EmitCertifiedTest},
                                         {"compact", &EmitCompact},
                                         {"sparse_qkv", &EmitSparseQkv},
                                         {"lazy_qkv", &EmitLazyQkv},
                                         {"lazy_attention", &EmitAttention},
                                         {"keep_inputs", &EmitKeepInputs},
                                         {"sparse_out", &EmitSparseOut},
                                         {"quantized_linear", &EmitQuantizedLinear},
                                         {"quantized_test", &EmitQuantizedTest},
                                         {"select", &EmitSelect},
                                         {"sparse_fc1", &EmitSparseFc1},
                                         {"sparse_fc2", &EmitSparseFc2},
                                         {"argmax", &EmitArgmax}});
  return table;
}

std::string CpuSymbol(const KernelSpec& spec) { return CpuKernels().Symbol(spec).value(); }

}  // namespace dejavu
