// What makes a chain of model ops an OPT decoder.
#ifndef DEJAVU_PASSES_LIFT_OPTSTRUCTURE_H_
#define DEJAVU_PASSES_LIFT_OPTSTRUCTURE_H_

#include "ir/core/Module.h"

namespace dejavu {

/// Walks `function` from the token embedding to the logits, block by block: x + attention(norm(x)), x + mlp(norm(x)),
/// or with the norms after the sums (OPT-350M); biases everywhere in the blocks or nowhere. The error names the node
/// where the graph leaves that path and what was expected. On success sets the module's facts: hidden, layers, heads,
/// ffn, vocab, positions, dtype, and bos and eos to OPT's 2 unless they are set.
[[nodiscard]] absl::Status CheckOptStructure(Module& module, const Function& function);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_LIFT_OPTSTRUCTURE_H_
