// The quality contract inside dejavu-opt: artifacts to be judged, from the module that is being compiled.
#ifndef DEJAVU_TOOLS_DRIVER_CONTRACTBUILD_H_
#define DEJAVU_TOOLS_DRIVER_CONTRACTBUILD_H_

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"
#include "passes/manager/PipelineParser.h"
#include "tools/driver/Compile.h"
#include "tools/driver/OptOptions.h"

namespace dejavu {

/// Finds the layers that must be dense for the contract in `options`, tells `pipeline`, which has not run over `module`
/// yet, to leave them so, prints the outcome to stdout and puts it into `artifact`. Artifacts on the way are written
/// beside the output and removed.
[[nodiscard]] absl::Status HoldContract(const Module& module, WeightStore& weights, const OptOptions& options,
                                        Pipeline& pipeline, ArtifactOptions& artifact);

/// A usage error unless the flags of the contract make sense together.
[[nodiscard]] absl::Status CheckContract(const OptOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_CONTRACTBUILD_H_
