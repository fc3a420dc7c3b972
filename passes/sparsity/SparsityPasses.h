// The passes from [model] to [sparse]; the only ones that may change results.
#ifndef DEJAVU_PASSES_SPARSITY_SPARSITYPASSES_H_
#define DEJAVU_PASSES_SPARSITY_SPARSITYPASSES_H_

#include "passes/manager/Pass.h"

namespace dejavu {

extern const PassInfo kDropPredictorsPass;
extern const PassInfo kInsertPredictorsPass;
extern const PassInfo kSparsifyAttentionPass;
extern const PassInfo kSparsifyMlpPass;

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_SPARSITYPASSES_H_
