#include "tools/driver/Opt.h"

#include <filesystem>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "ir/base/FileUtil.h"
#include "ir/import/SyntheticReader.h"
#include "ir/import/WeightTransforms.h"
#include "ir/ops/Registry.h"
#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "ir/verify/Verifier.h"
#include "passes/Pipelines.h"
#include "passes/manager/PassRegistry.h"
#include "tools/driver/ArtifactInput.h"
#include "tools/driver/Compile.h"
#include "tools/driver/ContractBuild.h"
#include "tools/driver/ExpectedErrors.h"
#include "tools/driver/ModelInput.h"
#include "tools/driver/Outputs.h"

namespace dejavu {
namespace {

constexpr size_t kMaxTextBytes = 256U << 20U;

bool IsFolder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

void ListPasses() {
  for (const NamedPipeline& pipeline : AllPipelines()) {
    std::cout << "pipeline " << pipeline.name << ": " << pipeline.summary << "\n";
    for (const auto& [step, why] : pipeline.steps) {
      std::cout << "    " << step << "  (" << why << ")\n";
    }
  }
  for (const PassInfo* pass : AllPasses()) {
    std::cout << pass->name << ": " << pass->summary << "\n";
    for (const PassOption& option : pass->options) {
      std::cout << "    " << option.name << "=" << option.default_value << "  " << option.doc << "\n";
    }
  }
}

/// `artifact` is set if the input is one.
absl::StatusOr<std::string> ReadDvText(const std::string& input, std::optional<ArtifactReader>& artifact) {
  if (input == "-") {
    return std::string(std::istreambuf_iterator<char>(std::cin), {});
  }
  if (!IsFolder(input)) {
    return ReadTextFile(input, kMaxTextBytes);
  }
  ASSIGN_OR_RETURN(artifact, ArtifactReader::Open(input));
  return ReadTextFile(artifact->FilePath("module.dv"), kMaxTextBytes);
}

absl::Status CheckRoundTrip(const Module& module) {
  const std::string first = PrintModule(module);
  absl::StatusOr<std::unique_ptr<Module>> again = ParseModule(first, "printed IR");
  if (!again.ok()) {
    return BugError("printed IR does not parse: ", std::string(again.status().message()));
  }
  if (PrintModule(**again) != first) {
    return BugError("printed IR parses to something that prints differently");
  }
  return absl::OkStatus();
}

/// A user error about the input's contents that does not say which file it is about gets the input's name.
absl::Status Named(const OptOptions& options, const absl::Status& status) {
  const std::string input = options.input == "-" ? "<stdin>" : options.input;
  bool named = !absl::IsInvalidArgument(status);
  for (const std::string& path : {input, options.output, options.tokenizer, options.contract.text}) {
    named = named || (!path.empty() && absl::StrContains(status.message(), path));
  }
  return named ? status : WithContext(status, input);
}

/// Nobody shall take what an oracle reads for what the model would cost.
void WarnOfOracle(const Module& module) {
  const auto it = module.attributes().find("sparsity");
  if (it != module.attributes().end() && it->second == Attribute(std::string("oracle"))) {
    std::cerr << "warning: neurons are chosen by an oracle, which reads all of fc1 to know them: this is for "
                 "evaluation, and saves no time\n";
  }
}

/// Runs the pipeline over one module and writes the result to `out` or to the artifact.
absl::Status Transform(Module& module, WeightStore& store, const OptOptions& options, bool has_pipeline,
                       std::string* out) {
  if (options.verify_roundtrip) {
    RETURN_IF_ERROR(CheckRoundTrip(module));
  }
  if (options.sparsity) {
    RETURN_IF_ERROR(CheckSparsity(module, *options.sparsity));
  }
  // Wrong flags are reported before the work.
  RETURN_IF_ERROR(CheckOutputsSpareWeights(module, store, options));
  std::vector<TargetChoice> targets;
  if (options.emit != "ir") {
    ASSIGN_OR_RETURN(targets, ParseTargets(options.target));
    if (options.emit != "artifact") {
      ASSIGN_OR_RETURN(targets[0], ChooseForFormat(targets, options.emit));
    }
  }
  std::string text = options.pipeline;
  // .dv text is printed as it is unless something is asked of it; a model is compiled.
  const bool as_is = IsTextInput(options.input) && options.emit == "ir" && !has_pipeline && options.compile_to.empty();
  if (!has_pipeline && !as_is) {
    const std::string stratum = options.compile_to.empty() ? "sched" : options.compile_to;
    ASSIGN_OR_RETURN(text, PipelineBetween(module, stratum, options.sparsity, options.budgets, options.batch));
  }
  ASSIGN_OR_RETURN(Pipeline pipeline, ParsePipeline(text));
  ArtifactOptions artifact{options.output, options.tokenizer, targets};
  if (artifact.tokenizer.empty() && options.emit == "artifact") {
    artifact.tokenizer = TokenizerOf(options.input, IsArtifactName(options.input));
  }
  if (options.contract.any()) {
    RETURN_IF_ERROR(Named(options, HoldContract(module, store, options, has_pipeline, pipeline, artifact)));
  }
  RETURN_IF_ERROR(Named(options, RunPipeline(module, store, pipeline, options.passes, std::cerr)));
  WarnOfOracle(module);
  if (options.verify_roundtrip) {
    RETURN_IF_ERROR(CheckRoundTrip(module));
  }
  if (options.emit == "ir") {
    absl::StrAppend(out, out->empty() ? "" : "// -----\n", PrintModule(module));
    return absl::OkStatus();
  }
  if (options.emit != "artifact") {
    absl::StatusOr<std::string> kernels = EmitKernelText(module, targets.front(), options.emit);
    RETURN_IF_ERROR(Named(options, kernels.status()));
    *out = *std::move(kernels);
    return absl::OkStatus();
  }
  return Named(options, WriteArtifact(module, store, artifact));
}

/// One part of .dv text. The line numbers of a part count from the file's first line.
absl::Status TransformText(const std::string& text, const std::optional<ArtifactReader>& artifact,
                           const OptOptions& options, bool has_pipeline, std::string* out) {
  WeightStore store;
  if (artifact) {
    RETURN_IF_ERROR(RegisterArtifactWeights(*artifact, store));
  }
  const std::string name = options.input == "-" ? "<stdin>" : options.input;
  ASSIGN_OR_RETURN(std::unique_ptr<Module> module, ParseModule(text, name));
  RETURN_IF_ERROR(WithContext(VerifyDerivedWeights(*module), name));
  RETURN_IF_ERROR(VerifyModule(*module, name));
  return Transform(*module, store, options, has_pipeline, out);
}

absl::Status RunOnText(const OptOptions& options, bool has_pipeline, std::string* out) {
  std::optional<ArtifactReader> artifact;
  ASSIGN_OR_RETURN(const std::string all, ReadDvText(options.input, artifact));
  std::vector<std::string> parts = {all};
  if (options.split_input_file) {
    parts = absl::StrSplit(all, "// -----\n");
  }
  int lines = 0;
  for (const std::string& part : parts) {
    const std::string padded = std::string(static_cast<size_t>(lines), '\n') + part;
    lines += static_cast<int>(std::count(part.begin(), part.end(), '\n')) + 1;
    const absl::Status status = TransformText(padded, artifact, options, has_pipeline, out);
    if (options.verify_diagnostics) {
      RETURN_IF_ERROR(CheckExpectedErrors(padded, status));
    } else {
      RETURN_IF_ERROR(status);
    }
  }
  return absl::OkStatus();
}

absl::Status WriteOutput(const OptOptions& options, const std::string& text) {
  if (options.emit == "artifact") {
    return absl::OkStatus();
  }
  if (!options.output.empty() && options.output != "-") {
    return WriteFileAtomically(options.output, text);
  }
  std::cout << text << std::flush;
  return std::cout.good() ? absl::OkStatus() : UserError("standard output: cannot be written");
}

}  // namespace

absl::Status RunOpt(const OptOptions& options, bool has_pipeline) {
  if (options.list_passes) {
    ListPasses();
    return absl::OkStatus();
  }
  if (options.print_ops_md || options.print_passes_md) {
    std::cout << (options.print_ops_md ? OpsMarkdown() : PassesMarkdown());
    return absl::OkStatus();
  }
  std::string out;
  if (IsTextInput(options.input)) {
    RETURN_IF_ERROR(RunOnText(options, has_pipeline, &out));
  } else {
    WeightStore store;
    ASSIGN_OR_RETURN(std::unique_ptr<Module> module,
                     options.synthetic.empty() ? ReadModel(options.input, &store) : ReadSynthetic(options.synthetic));
    RETURN_IF_ERROR(Transform(*module, store, options, has_pipeline, &out));
  }
  if (options.verify_diagnostics) {
    return absl::OkStatus();
  }
  return WriteOutput(options, out);
}

}  // namespace dejavu
