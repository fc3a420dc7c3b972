#include "tools/driver/ContractBuild.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>
#include <sstream>

#include "absl/strings/str_join.h"
#include "ir/text/Parser.h"
#include "ir/text/Printer.h"
#include "passes/manager/PassManager.h"
#include "passes/manager/PassRegistry.h"
#include "passes/sparsity/Profile.h"
#include "runtime/cuda/CudaDevice.h"
#include "tools/driver/Contract.h"
#include "tools/driver/ContractOutput.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/Jobs.h"

namespace dejavu {
namespace {

constexpr size_t kMostMasses = 6;
constexpr size_t kMostHeadShares = 8;

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

/// Of the thresholds that a profile has at most `most`: each costs a compilation and a measurement. Returns all.
std::set<double> AddThresholds(const Profile& profile, std::optional<ProfilePredictor> ProfileLayer::* kind,
                               std::string_view family, size_t most, std::vector<std::string>& candidates) {
  std::set<double> masses;
  for (const ProfileLayer& layer : profile.layers) {
    for (const ProfilePoint& point : layer.*kind ? (layer.*kind)->points : std::vector<ProfilePoint>()) {
      masses.insert(point.mass);
    }
  }
  const std::vector<double> all(masses.begin(), masses.end());
  const size_t count = std::min(all.size(), most);
  for (size_t i = 0; i < count; ++i) {
    candidates.push_back(std::string(family) + MassText(all[count == 1 ? 0 : i * (all.size() - 1) / (count - 1)]));
  }
  return masses;
}

/// Copies of fc1 of several sizes.
std::vector<std::string> CopyCandidates() {
  std::vector<std::string> candidates;
  for (const auto& [copy, margins] : {std::pair("copy/2/32/", std::vector<const char*>{"0", "0.5", "1", "2"}),
                                      std::pair("copy/3/128/", std::vector<const char*>{"0", "0.5", "1", "2"}),
                                      std::pair("copy/4/64/", std::vector<const char*>{"0", "1"})}) {
    for (const char* margin : margins) {
      candidates.push_back(absl::StrCat(copy, margin));
    }
  }
  return candidates;
}

/// What the layers may have: for the pipeline's own predictors, those or none; otherwise copies of fc1, what the
/// profile has, for neurons and for heads, and cascades of both. With a mass of 1, neurons are dense and only heads
/// choose. Batches have neither copies nor cascades.
absl::StatusOr<std::vector<std::string>> Candidates(const OptOptions& options, bool has_pipeline) {
  const Budgets& budgets = options.budgets;
  const bool heads_only = budgets.mass == 1.0 && !budgets.head_share;
  if (has_pipeline || options.sparsity != "predicted" || budgets.mlp_density || budgets.head_density ||
      (budgets.mass && !heads_only) || budgets.head_share) {
    return std::vector<std::string>{kGiven};
  }
  const bool copies = options.batch.empty() && !heads_only;
  std::vector<std::string> candidates = copies ? CopyCandidates() : std::vector<std::string>();
  if (!budgets.profile.empty()) {
    ASSIGN_OR_RETURN(const Profile profile, ReadProfile(budgets.profile));
    std::set<double> masses;
    if (!heads_only) {
      masses = AddThresholds(profile, &ProfileLayer::mlp, "low-rank/", kMostMasses, candidates);
    }
    for (const double mass : {0.99, 0.999}) {
      for (const char* copy : {"2/32/1", "3/128/1"}) {
        if (copies && masses.contains(mass)) {
          candidates.push_back(absl::StrCat("cascade/", MassText(mass), "/", copy));
        }
      }
    }
    AddThresholds(profile, &ProfileLayer::heads, kHeadsFamily, kMostHeadShares, candidates);
  }
  if (candidates.empty()) {
    return UsageError(heads_only ? "--mass=1 keeps neurons dense, but the profile has no predictors of heads"
                                 : "--batch has no copies to predict by, and there are no trained predictors: give a "
                                   "--profile that has some",
                      "; a contract has nothing to choose");
  }
  return candidates;
}

/// Makes artifacts of one module for the contract, one after the other.
class Compiler {
 public:
  Compiler(const Module& module, WeightStore& weights, const Pipeline& pipeline, const ContractBuild& build,
           ArtifactOptions judged, std::string folder)
      : text_(PrintModule(module)),
        weights_(weights),
        pipeline_(pipeline),
        build_(build),
        judged_(std::move(judged)),
        folder_(std::move(folder)) {
    judged_.code = &code_;
  }
  Compiler(const Compiler&) = delete;
  Compiler& operator=(const Compiler&) = delete;

  /// The pipeline in which each layer has its choice.
  [[nodiscard]] Pipeline WithChoices(const std::vector<size_t>& choices) const {
    Pipeline pipeline = pipeline_;
    const auto insert = FindStep(pipeline, "insert-predictors");
    if (choices == std::vector<size_t>{0}) {
      insert->options["kind"] = "none";
      for (const char* option : {"plan", "head-share", "head-plan"}) {
        insert->options[option] = "";
      }
      return pipeline;
    }
    const auto layers = static_cast<size_t>(build_.layers);
    if (build_.candidates.front() != kGiven) {
      const std::vector<std::string> words = Words(choices);
      insert->options["plan"] = absl::StrJoin(words.begin(), words.begin() + build_.layers, "+");
      if (words.size() > layers) {
        insert->options["head-plan"] = absl::StrJoin(words.begin() + build_.layers, words.end(), "+");
      }
      return pipeline;
    }
    std::vector<size_t> dense;
    for (size_t layer = 0; layer < choices.size(); ++layer) {
      if (choices[layer] == 0) {
        dense.push_back(layer);
      }
    }
    if (!dense.empty()) {
      pipeline.insert(insert + 1, {FindPass("drop-predictors"), {{"layers", absl::StrJoin(dense, "+")}}});
    }
    return pipeline;
  }

  absl::StatusOr<std::string> Compile(const std::vector<size_t>& choices, int64_t* layers) {
    RETURN_IF_ERROR(InterruptStatus());
    ASSIGN_OR_RETURN(const std::unique_ptr<Module> copy, ParseModule(text_, "the module"));
    std::ostringstream log;
    RETURN_IF_ERROR(RunPipeline(*copy, weights_, WithChoices(choices), {}, log));
    // Always another name: a library stays loaded under its name while a model has it. What is open stays readable.
    std::error_code ignored;
    if (number_ > 1) {
      std::filesystem::remove_all(judged_.path, ignored);
    }
    judged_.path = absl::StrCat(folder_, "/", number_++, ".dejavu");
    RETURN_IF_ERROR(WriteArtifact(*copy, weights_, judged_));
    // Only a lifted model says how many layers it has.
    *layers = std::max<int64_t>(copy->IntAttribute("layers"), 1);
    return judged_.path;
  }

 private:
  /// Of each layer's MLP and, if some candidate is for heads and one of them is chosen, of each layer's attention.
  [[nodiscard]] std::vector<std::string> Words(const std::vector<size_t>& choices) const {
    const auto layers = static_cast<size_t>(build_.layers);
    std::vector<std::string> words(2 * layers, "none");
    bool has_heads = false;
    for (size_t place = 0; place < words.size(); ++place) {
      const size_t choice = choices.size() == 1 ? choices[0] : (place < choices.size() ? choices[place] : 0);
      if (choice == 0) {
        continue;
      }
      const std::string& candidate = build_.candidates[choice - 1];
      const bool for_heads = candidate.starts_with(kHeadsFamily);
      if (for_heads == (place >= layers)) {
        words[place] = for_heads ? candidate.substr(kHeadsFamily.size()) : candidate;
        has_heads = has_heads || for_heads;
      }
    }
    words.resize(has_heads ? words.size() : layers);
    return words;
  }

  std::string text_;
  WeightStore& weights_;
  const Pipeline& pipeline_;
  const ContractBuild& build_;
  ArtifactOptions judged_;
  std::string folder_;
  int number_ = 0;
  CodeCache code_;
};

bool HasGpu() {
  const absl::StatusOr<const cuda::Driver*> driver = cuda::Driver::Get();
  return driver.ok() && cuda::CudaDevice::Open(**driver, 0).ok();
}

/// What this machine can run: its CPU if that is a target, else its GPU. Where there is none, the CPU stands in for it:
/// `build` then has bytes for prices, as another device's times are none.
absl::StatusOr<TargetChoice> JudgingTarget(const std::vector<TargetChoice>& targets, ContractBuild& build) {
  ASSIGN_OR_RETURN(const std::vector<TargetChoice> host, ParseTargets("cpu"));
  const auto find = [&](const std::string& name, const std::string& isa) {
    return std::find_if(targets.begin(), targets.end(), [&](const TargetChoice& choice) {
      return choice.target == name && (isa.empty() || choice.isa == isa);
    });
  };
  auto found = find("cpu", host[0].isa);
  if (found == targets.end() && HasGpu()) {
    found = find("cuda", "");
  }
  if (found != targets.end()) {
    return *found;
  }
  std::cerr << "this machine runs none of the targets: its CPU judges the quality, and prices are bytes\n";
  build.prices = Prices::kBytes;
  return host[0];
}

}  // namespace

absl::Status HoldContract(const Module& module, WeightStore& weights, const OptOptions& options, bool has_pipeline,
                          Pipeline& pipeline, ArtifactOptions& artifact) {
  if (FindStep(pipeline, "insert-predictors") == pipeline.end()) {
    return UsageError(
        "a contract is for the way from 'model' to 'sparse', but no pass of the pipeline is "
        "insert-predictors; compile the model itself");
  }
  // Before the folder, so that it is gone before a signal can end the program.
  const InterruptGuard guard;
  const TemporaryFolder folder(absl::StrCat(options.output, ".contract-", getpid()));
  RETURN_IF_ERROR(folder.Create());
  ContractBuild build;
  build.fixed = options.budgets.mlp_density || options.budgets.head_density;
  build.jobs = options.contract_jobs;
  AllowJobsOnGpu(build.jobs);
  build.prices = options.contract_prices == "bytes" ? Prices::kBytes : Prices::kTime;
  ASSIGN_OR_RETURN(build.candidates, Candidates(options, has_pipeline));
  ArtifactOptions judged = artifact;
  ASSIGN_OR_RETURN(const TargetChoice target, JudgingTarget(artifact.targets, build));
  judged.targets = {target};
  build.device = target.target;
  Compiler compiler(module, weights, pipeline, build, judged, folder.path());
  build.compile = [&](const std::vector<size_t>& choices) { return compiler.Compile(choices, &build.layers); };
  ASSIGN_OR_RETURN(const ContractOutcome outcome, MeetContract(options.contract, build));
  pipeline = compiler.WithChoices(outcome.choices);
  artifact.contract = ContractJson(outcome, build.prices);
  artifact.contract["judged_on"] = target.target;
  std::cerr << ContractTable(outcome);
  if (options.json) {
    std::cout << artifact.contract.dump() << std::endl;
  }
  return absl::OkStatus();
}

absl::Status CheckContract(const OptOptions& options) {
  const ContractBounds& contract = options.contract;
  if (!contract.any() && options.json) {
    return UsageError("--json prints the outcome of a contract, but no bound is given");
  }
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
