// Timelines as browsers show them.
#ifndef DEJAVU_TOOLS_DRIVER_TRACEFILE_H_
#define DEJAVU_TOOLS_DRIVER_TRACEFILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace dejavu {

/// One launch of a traced token.
struct TracedLaunch {
  std::string name;
  int64_t stream = 0;
  int64_t layer = -1;  ///< -1: belongs to none.
  double begin_us = 0;
  double us = 0;
  double bytes = 0;
};

/// Writes `launches` in Chrome's trace format, which chrome://tracing and ui.perfetto.dev show: a row for each stream,
/// a bar for each launch. `title` names the whole.
[[nodiscard]] absl::Status WriteTrace(const std::string& path, const std::string& title,
                                      const std::vector<TracedLaunch>& launches);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_TRACEFILE_H_
