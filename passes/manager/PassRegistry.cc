#include "passes/manager/PassRegistry.h"

#include <array>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "passes/Pipelines.h"
#include "passes/lift/LiftPasses.h"
#include "passes/schedule/SchedulePasses.h"
#include "passes/sparsity/SparsityPasses.h"

namespace dejavu {

absl::Span<const PassInfo* const> AllPasses() {
  static constexpr std::array kPasses = std::to_array<const PassInfo*>(
      {&kFoldShapesPass,       &kLiftViewsPass,         &kLiftLayerNormPass, &kLiftLinearPass,
       &kFoldViewsPass,        &kLiftEmbeddingsPass,    &kLiftAttentionPass, &kLiftMlpPass,
       &kLiftResidualPass,     &kFinishLiftPass,        &kNameWeightsPass,   &kSplitPhasesPass,
       &kInsertPredictorsPass, &kDropPredictorsPass,    &kSparsifyMlpPass,   &kSparsifyAttentionPass,
       &kBatchDecodePass,      &kPackWeightsPass,       &kLowerToSchedPass,  &kFuseResidualPass,
       &kFuseLayerNormPass,    &kOverlapPredictorsPass, &kExposeTapsPass,    &kPlanBuffersPass});
  return kPasses;
}

const PassInfo* FindPass(std::string_view name) {
  for (const PassInfo* pass : AllPasses()) {
    if (pass->name == name) {
      return pass;
    }
  }
  return nullptr;
}

absl::StatusOr<int64_t> PassContext::IntOption(std::string_view name) const {
  const std::string& text = Option(name);
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) {
    return UsageError("--pipeline: option '", std::string(name), "' must be a whole number, but is '", text, "'");
  }
  return value;
}

std::string PassesMarkdown() {
  std::string out =
      "# Passes\n\nGenerated from the passes' own descriptions by `dejavu-opt --print-passes-md`; "
      "`tools/update-goldens` refreshes it.\n\n## Pipelines\n";
  for (const NamedPipeline& pipeline : AllPipelines()) {
    absl::StrAppend(&out, "\n### `", std::string(pipeline.name), "`\n", std::string(pipeline.summary), "\n\n");
    for (const auto& [step, why] : pipeline.steps) {
      absl::StrAppend(&out, "- `", std::string(step), "`: ", std::string(why), "\n");
    }
  }
  absl::StrAppend(&out, "\n## Passes\n");
  for (const PassInfo* pass : AllPasses()) {
    absl::StrAppend(&out, "\n### `", std::string(pass->name), "`\n", std::string(pass->summary), " Keeps ",
                    pass->promise == Promise::kBits ? "every bit" : "results equal in exact arithmetic",
                    pass->promise == Promise::kUnlessPredicted ? ", but for what a prediction leaves out" : "",
                    ".\n\n```\n", std::string(pass->example), "\n```\n");
    for (const PassOption& option : pass->options) {
      absl::StrAppend(&out, "\n- `", std::string(option.name), "` (", std::string(option.default_value),
                      "): ", std::string(option.doc), "\n");
    }
  }
  return out;
}

}  // namespace dejavu
