// What dejavu-opt may write: nothing of the model that it reads.
#ifndef DEJAVU_TOOLS_DRIVER_OUTPUTS_H_
#define DEJAVU_TOOLS_DRIVER_OUTPUTS_H_

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"
#include "tools/driver/OptOptions.h"

namespace dejavu {

/// A usage error if an output would overwrite INPUT or a file in the folder that INPUT is. An artifact may be made
/// again in its place.
[[nodiscard]] absl::Status CheckOutputs(const OptOptions& options);

/// The same for the files that hold the weights of `module`, which was read from INPUT.
[[nodiscard]] absl::Status CheckOutputsSpareWeights(const Module& module, WeightStore& weights,
                                                    const OptOptions& options);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_OUTPUTS_H_
