// What dejavu-opt does with its input.
#ifndef DEJAVU_TOOLS_DRIVER_OPT_H_
#define DEJAVU_TOOLS_DRIVER_OPT_H_

#include "tools/driver/OptOptions.h"

namespace dejavu {

/// Runs the tool: reads the input, runs the pipeline, writes the output. `has_pipeline`: --pipeline was given, if
/// empty.
[[nodiscard]] absl::Status RunOpt(const OptOptions& options, bool has_pipeline);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_OPT_H_
