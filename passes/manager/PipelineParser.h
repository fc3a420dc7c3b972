// Pipelines as text: `lift,insert-predictors{kind=certified},sparsify-mlp`.
#ifndef DEJAVU_PASSES_MANAGER_PIPELINEPARSER_H_
#define DEJAVU_PASSES_MANAGER_PIPELINEPARSER_H_

#include <string>
#include <string_view>
#include <vector>

#include "passes/manager/Pass.h"

namespace dejavu {

/// One step: a registered pass with all its options set.
struct PipelineStep {
  const PassInfo* pass;
  PassOptionValues options;
};
using Pipeline = std::vector<PipelineStep>;

/// Parses passes and named pipelines (see Pipelines.h), separated by commas. Errors are usage errors that name the
/// position, the pass and the option, and list what there is.
[[nodiscard]] absl::StatusOr<Pipeline> ParsePipeline(std::string_view text);

/// The text that ParsePipeline reads back; options at their defaults are left out.
[[nodiscard]] std::string PrintPipeline(const Pipeline& pipeline);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_MANAGER_PIPELINEPARSER_H_
