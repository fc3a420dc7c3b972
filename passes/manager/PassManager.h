// Runs pipelines, with everything that one wants to see of them.
#ifndef DEJAVU_PASSES_MANAGER_PASSMANAGER_H_
#define DEJAVU_PASSES_MANAGER_PASSMANAGER_H_

#include <iosfwd>
#include <set>
#include <string>

#include "passes/manager/PipelineParser.h"

namespace dejavu {

/// Passes know none of these.
struct PassManagerOptions {
  bool print_after_all = false;
  std::set<std::string> print_after;  // names of passes
  bool print_after_change = false;    // an unchanged pass prints one line
  bool verify_each = true;
  bool check_equivalent = false;  // against the interpreter, holding each pass to its Promise
  bool timing = false;
  bool statistics = false;
  int stop_after_pass = -1;  // run only the first N
  std::string reproducer;    // on failure, write the IR before and the pipeline here
  std::string input_name;    // for messages and the reproducer
};

/// Runs `pipeline` over `module`, printing to `log` what `options` ask for. On failure the module may be half changed;
/// the error names the pass and, for a bug of the pass, how to replay it.
[[nodiscard]] absl::Status RunPipeline(Module& module, WeightStore& weights, const Pipeline& pipeline,
                                       const PassManagerOptions& options, std::ostream& log);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_MANAGER_PASSMANAGER_H_
