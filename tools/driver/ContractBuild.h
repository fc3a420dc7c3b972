// The quality contract inside dejavu-opt: artifacts to be judged, from the module that is being compiled.
#ifndef DEJAVU_TOOLS_DRIVER_CONTRACTBUILD_H_
#define DEJAVU_TOOLS_DRIVER_CONTRACTBUILD_H_

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"
#include "passes/manager/PipelineParser.h"
#include "tools/driver/Compile.h"
#include "tools/driver/OptOptions.h"

namespace dejavu {

/// Finds what each layer may have under the contract in `options`, tells `pipeline`, which has not run over `module`
/// yet, prints the outcome to stderr, with --json to stdout too, and puts it into `artifact`. Artifacts on the way are
/// written beside the output and removed. What was given in detail (`has_pipeline`, densities, a mass, exact sparsity)
/// is taken or left, layer by layer; --sparsity=predicted alone chooses among copies, what a profile has, and cascades.
[[nodiscard]] absl::Status HoldContract(const Module& module, WeightStore& weights, const OptOptions& options,
                                        bool has_pipeline, Pipeline& pipeline, ArtifactOptions& artifact);

/// A usage error unless the flags of the contract make sense together.
[[nodiscard]] absl::Status CheckContract(const OptOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_CONTRACTBUILD_H_
