#include "tools/driver/ContractBuild.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "absl/strings/str_join.h"
#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "passes/manager/PassManager.h"
#include "passes/manager/PassRegistry.h"
#include "tools/driver/Contract.h"
#include "tools/driver/Interrupt.h"

namespace dejavu {
namespace {

/// A folder that goes away with it.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  absl::Status Create() const {
    std::error_code error;
    std::filesystem::create_directory(path_, error);
    return error ? UserError(path_, ": cannot be created: ", error.message()) : absl::OkStatus();
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Pipeline::iterator FindStep(Pipeline& pipeline, const std::string& name) {
  return std::find_if(pipeline.begin(), pipeline.end(),
                      [&](const PipelineStep& step) { return step.pass->name == name; });
}

/// `pipeline` with these layers dense, or all.
Pipeline WithDense(Pipeline pipeline, const std::optional<std::vector<int64_t>>& dense_layers) {
  const auto insert = FindStep(pipeline, "insert-predictors");
  if (!dense_layers) {
    insert->options["kind"] = "none";
  } else if (!dense_layers->empty()) {
    pipeline.insert(insert + 1, {FindPass("drop-predictors"), {{"layers", absl::StrJoin(*dense_layers, "+")}}});
  }
  return pipeline;
}

int64_t CountLayers(const Module& module) { return std::max<int64_t>(module.IntAttribute("layers"), 1); }

/// What this machine can run: its CPU if that is a target, else its GPU.
absl::StatusOr<TargetChoice> JudgingTarget(const std::vector<TargetChoice>& targets) {
  for (const char* name : {"cpu", "cuda"}) {
    ASSIGN_OR_RETURN(const std::vector<TargetChoice> host, ParseTargets("cpu"));
    for (const TargetChoice& choice : targets) {
      if (choice.target == name && (choice.target != "cpu" || choice.isa == host[0].isa)) {
        return choice;
      }
    }
  }
  return targets.front();
}

}  // namespace

absl::Status HoldContract(const Module& module, WeightStore& weights, const OptOptions& options, Pipeline& pipeline,
                          ArtifactOptions& artifact) {
  if (FindStep(pipeline, "insert-predictors") == pipeline.end()) {
    return UsageError(
        "a contract is for the way from 'model' to 'sparse', but no pass of the pipeline is "
        "insert-predictors; compile the model itself");
  }
  // Before the folder, so that it is gone before a signal can end the program.
  const InterruptGuard guard;
  const TemporaryFolder folder(absl::StrCat(options.output, ".contract-", getpid()));
  RETURN_IF_ERROR(folder.Create());
  ArtifactOptions judged = artifact;
  ASSIGN_OR_RETURN(const TargetChoice target, JudgingTarget(artifact.targets));
  judged.targets = {target};
  const std::string text = PrintModule(module);
  int number = 0;
  ContractBuild build;
  build.device = target.target;
  build.fixed = options.budgets.mlp_density || options.budgets.head_density;
  build.compile = [&](const std::optional<std::vector<int64_t>>& dense_layers) -> absl::StatusOr<std::string> {
    RETURN_IF_ERROR(InterruptStatus());
    ASSIGN_OR_RETURN(const std::unique_ptr<Module> copy, ParseModule(text, "the module"));
    std::ostringstream log;
    RETURN_IF_ERROR(RunPipeline(*copy, weights, WithDense(pipeline, dense_layers), {}, log));
    // Always another name: a library stays loaded under its name while a model has it. What is open stays readable.
    std::error_code ignored;
    if (dense_layers && number > 1) {
      std::filesystem::remove_all(judged.path, ignored);
    }
    judged.path = absl::StrCat(folder.path(), "/", number++, ".dejavu");
    RETURN_IF_ERROR(WriteArtifact(*copy, weights, judged));
    // Only a lifted model says how many layers it has.
    build.layers = CountLayers(*copy);
    return judged.path;
  };
  ASSIGN_OR_RETURN(const ContractOutcome outcome, MeetContract(options.contract, build));
  pipeline = WithDense(std::move(pipeline), outcome.dense_layers);
  artifact.contract = ContractJson(outcome);
  std::cout << ContractTable(outcome) << std::flush;
  return absl::OkStatus();
}

absl::Status CheckContract(const OptOptions& options) {
  const ContractBounds& contract = options.contract;
  if (!contract.any()) {
    return contract.text.empty() ? absl::OkStatus()
                                 : UsageError("--contract-text needs a bound: --max-ppl-increase or --max-kl");
  }
  for (const auto& [flag, bound] :
       {std::pair("--max-ppl-increase", contract.max_ppl_increase), std::pair("--max-kl", contract.max_kl),
        std::pair("--max-icl-drop", contract.max_icl_drop)}) {
    if (bound && !(*bound > 0)) {
      return UsageError(flag, " must be above 0, but is ", *bound, ": no measurement can show that there is no loss");
    }
  }
  if (options.emit != "artifact") {
    return UsageError("a contract is for artifacts: give -o NAME.dejavu");
  }
  if (options.sparsity == "none") {
    return UsageError("a contract is for sparse models, but --sparsity is none");
  }
  if ((contract.max_ppl_increase || contract.max_kl) && contract.text.empty()) {
    return UsageError(
        "--max-ppl-increase and --max-kl need --contract-text=FILE, text that no predictor was made from");
  }
  return absl::OkStatus();
}

}  // namespace dejavu
