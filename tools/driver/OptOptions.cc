#include "tools/driver/OptOptions.h"

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_join.h"
#include "ir/base/Phases.h"
#include "passes/manager/PassRegistry.h"
#include "tools/driver/CommandLine.h"
#include "tools/driver/Compile.h"
#include "tools/driver/ContractBuild.h"
#include "tools/driver/Outputs.h"

namespace dejavu {
namespace {

/// "a, b or c"
std::string AnyOf(const std::vector<std::string>& words) {
  const std::vector<std::string> most(words.begin(), words.end() - 1);
  return absl::StrCat(absl::StrJoin(most, ", "), " or ", words.back());
}

/// What to write, from --emit or else from the output's name.
absl::Status FinishEmit(OptOptions& options) {
  const bool by_name = options.emit.empty();
  if (by_name) {
    options.emit = IsArtifactName(options.output) ? "artifact" : (options.output.ends_with(".onnx") ? "onnx" : "ir");
  }
  if (options.emit == "onnx") {
    return UsageError(by_name ? absl::StrCat("-o ", options.output) : "--emit=onnx",
                      ": ONNX output is not available yet; write IR to a .dv file or an artifact to a .dejavu folder");
  }
  const std::vector<std::string> formats = KernelFormats();
  if (options.emit != "ir" && options.emit != "artifact" &&
      std::find(formats.begin(), formats.end(), options.emit) == formats.end()) {
    return UsageError("--emit must be ir, artifact, ", AnyOf(formats), ", but is '", options.emit, "'");
  }
  if (options.emit == "artifact" && !IsArtifactName(options.output)) {
    return UsageError("--emit=artifact needs -o NAME.dejavu");
  }
  return absl::OkStatus();
}

/// A profile's path becomes a part of the pipeline's text.
absl::Status CheckProfile(const OptOptions& options) {
  const Budgets& budgets = options.budgets;
  if (budgets.profile.empty()) {
    return budgets.mass || budgets.head_share ? UsageError(budgets.mass ? "--mass" : "--head-share",
                                                           " needs --profile=DIR, whose thresholds it chooses")
                                              : absl::OkStatus();
  }
  if (options.sparsity != "predicted") {
    return UsageError("--profile needs --sparsity=predicted");
  }
  if (budgets.mlp_density || budgets.head_density) {
    return UsageError("--profile and --mlp-density or --head-density exclude each other: a profile has thresholds");
  }
  if (budgets.profile.find_first_of(" ,{}") != std::string::npos) {
    return UsageError("--profile: '", budgets.profile, "' has a space, a comma or a brace; rename the directory");
  }
  return absl::OkStatus();
}

/// Budgets are shares, and the predictors'.
absl::Status CheckBudgets(const OptOptions& options) {
  RETURN_IF_ERROR(CheckProfile(options));
  struct Flag {
    std::string_view name;
    std::optional<double> density;
  };
  for (const Flag& flag :
       {Flag{"--mlp-density", options.budgets.mlp_density}, Flag{"--head-density", options.budgets.head_density}}) {
    if (!flag.density) {
      continue;
    }
    if (options.sparsity != "predicted") {
      return UsageError(std::string(flag.name), " needs --sparsity=predicted");
    }
    if (!(*flag.density > 0 && *flag.density <= 1)) {
      return UsageError(std::string(flag.name), " must be above 0 and at most 1, but is ", *flag.density);
    }
  }
  return absl::OkStatus();
}

/// Only heads that something chooses can sleep.
absl::Status CheckKv(OptOptions& options, bool has_pipeline) {
  if (options.kv != "dense" && options.kv != "lazy") {
    return UsageError("--kv must be dense or lazy, but is '", options.kv, "'");
  }
  options.budgets.lazy_kv = options.kv == "lazy";
  if (!options.budgets.lazy_kv) {
    return absl::OkStatus();
  }
  if (has_pipeline) {
    return UsageError("--pipeline and --kv exclude each other: write sparsify-attention{kv=lazy} into the pipeline");
  }
  if (!options.batch.empty()) {
    return UsageError("--kv=lazy is for one sequence, as those of a batch wake each other's heads; leave out --batch");
  }
  if (!options.budgets.head_density && options.budgets.profile.empty()) {
    return UsageError(
        "--kv=lazy needs heads that are chosen: give --sparsity=predicted and --head-density or --profile");
  }
  return absl::OkStatus();
}

absl::Status CheckBatch(OptOptions& options, bool has_pipeline) {
  if (has_pipeline && !options.batch.empty()) {
    return UsageError("--pipeline and --batch exclude each other: write batch-decode{sequences=N} into the pipeline");
  }
  for (const int64_t sequences : options.batch) {
    if (sequences < 2 || sequences > kMaxSequences) {
      return UsageError("--batch: numbers of sequences must be from 2 to ", kMaxSequences, ", but one is ", sequences,
                        "; code for one sequence is always there");
    }
  }
  std::sort(options.batch.begin(), options.batch.end());
  options.batch.erase(std::unique(options.batch.begin(), options.batch.end()), options.batch.end());
  return absl::OkStatus();
}

}  // namespace

bool IsArtifactName(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) {
    path.remove_suffix(1);
  }
  return path.ends_with(".dejavu");
}

bool IsTextInput(std::string_view input) { return input == "-" || input.ends_with(".dv") || IsArtifactName(input); }

void AddOptFlags(CLI::App& app, OptOptions& options) {
  app.add_option("INPUT", options.input,
                 "a .onnx file, a Hugging Face directory, .dv text (- for standard input) or a .dejavu artifact");
  app.add_option("-o", options.output, "where to write; standard output if left out")->type_name("OUT");
  app.add_option("--synthetic", options.synthetic,
                 "instead of INPUT: a shape with made-up weights, opt-125m to opt-175b, or with fewer layers, as in "
                 "opt-66b:layers=24")
      ->type_name("SHAPE");
  const std::string out = "Output";
  app.add_option("--emit", options.emit,
                 "ir, artifact, or kernels as llvm, cuda or ptx; default: artifact if OUT ends in .dejavu, else ir")
      ->group(out);
  app.add_option("--target", options.target,
                 "cpu, or cpu:ISA with x86-64-v2, x86-64-v3, x86-64-v4 or aarch64; cuda:sm_80 or cuda:sm_90; several "
                 "with commas")
      ->capture_default_str()
      ->group(out);
  app.add_option("--tokenizer", options.tokenizer,
                 "folder of vocab.json and merges.txt to keep in the artifact; a Hugging Face directory has its own")
      ->type_name("DIR")
      ->group(out);
  const std::string what = "What to do";
  app.add_option(
         "--sparsity", options.sparsity,
         "exact: skip neurons that are certainly zero; predicted: compute what predictors choose, without budgets "
         "by a 4-bit copy of fc1, which needs no training; none: dense")
      ->default_str("exact")
      ->group(what);
  app.add_option("--profile", options.budgets.profile,
                 "with predicted: the trained predictors, a directory that dejavu-profile wrote")
      ->type_name("DIR")
      ->group(what);
  app.add_option(
         "--mass", options.budgets.mass,
         "with --profile: keep this share of each layer's activations; one that the profile has thresholds for, "
         "or 1: neurons stay dense (default: 0.999)")
      ->type_name("SHARE")
      ->group(what);
  app.add_option(
         "--head-share", options.budgets.head_share,
         "with --profile: compute this share of the attention heads of all layers, those that matter most to the "
         "output; one that the profile has thresholds for (default: all)")
      ->type_name("SHARE")
      ->group(what);
  app.add_option("--mlp-density", options.budgets.mlp_density,
                 "with predicted: the share of each layer's neurons that is computed, as in 0.1")
      ->type_name("SHARE")
      ->group(what);
  app.add_option("--head-density", options.budgets.head_density, "the same for attention heads")
      ->type_name("SHARE")
      ->group(what);
  app.add_option(
         "--kv", options.kv,
         "dense: the cache gets the keys and values of all heads; lazy: a head that is not chosen computes none, "
         "and one that wakes makes up for what it slept through")
      ->type_name("MODE")
      ->capture_default_str()
      ->group(what);
  app.add_option("--batch", options.batch,
                 "also make code that decodes so many sequences at once, from 2 to 8; several with commas, as in 2,4,8")
      ->type_name("N")
      ->delimiter(',')
      ->group(what);
  const std::string promise = "Quality contract";
  app.add_option("--max-ppl-increase", options.contract.max_ppl_increase,
                 "the perplexity may be larger than the dense model's by this share, as in 0.01; layers become dense "
                 "until it is")
      ->type_name("SHARE")
      ->group(promise);
  app.add_option("--max-kl", options.contract.max_kl, "the same for the mean divergence from the dense model")
      ->type_name("NATS")
      ->group(promise);
  app.add_option("--max-icl-drop", options.contract.max_icl_drop,
                 "the same for the share of right answers in each task of dejavu-eval --icl")
      ->type_name("SHARE")
      ->group(promise);
  app.add_option("--contract-text", options.contract.text, "held-out text for the first two, as dejavu-eval reads it")
      ->type_name("FILE")
      ->group(promise);
  app.add_option("--contract-tokens", options.contract.tokens, "score this many tokens of it, in whole windows")
      ->type_name("N")
      ->check(AtLeast(1))
      ->capture_default_str()
      ->group(promise);
  app.add_option("--contract-prices", options.contract_prices,
                 "what layers choose their predictors by: time, as measured here, or bytes")
      ->type_name("PRICES")
      ->check(CLI::IsMember({"time", "bytes"}))
      ->capture_default_str()
      ->group(promise);
  app.add_option("--contract-jobs", options.contract_jobs,
                 "decode so many sequences of the tasks at a time, which share the threads or the GPU; with prices in "
                 "bytes, where no launch is timed, so many windows too")
      ->type_name("N")
      ->check(CLI::Range(1, 256))
      ->capture_default_str()
      ->group(promise);
  app.add_flag("--json", options.json, "print the outcome as one JSON object")->group(promise);
  app.add_option("--compile-to", options.compile_to, "stop at this stratum: onnx, model, sparse or sched")->group(what);
  app.add_option("--pipeline", options.pipeline, "run these passes instead, as in 'lift,phases,exact'")
      ->type_name("PASSES")
      ->group(what);
  app.add_option("--stop-after-pass", options.passes.stop_after_pass, "run only the first N passes")
      ->type_name("N")
      ->check(AtLeast(0))
      ->group(what);
  const std::string look = "Looking inside";
  app.add_option("--print-ir-after", options.print_ir_after, "print the IR after this pass, or after each")
      ->type_name("[PASS]")
      ->expected(0, 1)
      ->group(look);
  app.add_flag("--print-ir-after-change", options.passes.print_after_change, "print it after passes that changed it")
      ->group(look);
  app.add_flag("--timing", options.passes.timing, "seconds in each pass")->group(look);
  app.add_flag("--statistics", options.passes.statistics, "what each pass did, in numbers")->group(look);
  app.add_flag("--list-passes", options.list_passes, "all passes and pipelines, with a sentence each")->group(look);
  app.add_flag("--print-ops-md", options.print_ops_md, "the text of ir/ops/OPS.md")->group(look);
  app.add_flag("--print-passes-md", options.print_passes_md, "the text of passes/PASSES.md")->group(look);
  const std::string checks = "Checking";
  app.add_flag("--verify-each,!--no-verify-each", options.passes.verify_each, "verify after each pass (the default)")
      ->group(checks);
  app.add_flag("--check-equivalent", options.passes.check_equivalent,
               "run the interpreter before and after each pass and compare the logits")
      ->group(checks);
  app.add_flag("--split-input-file", options.split_input_file, "treat each part between lines '// -----' alone")
      ->group(checks);
  app.add_flag("--verify-diagnostics", options.verify_diagnostics,
               "succeed if the errors are those that comments 'expected-error {{...}}' name")
      ->group(checks);
  app.add_flag("--verify-roundtrip", options.verify_roundtrip, "check that IR prints, parses and prints the same bytes")
      ->group(checks);
  app.add_option("--reproducer", options.passes.reproducer, "if a pass fails, write what it got here")
      ->type_name("F")
      ->group(checks);
}

absl::Status FinishOptions(OptOptions& options, bool has_pipeline) {
  if (options.list_passes || options.print_ops_md || options.print_passes_md) {
    return absl::OkStatus();
  }
  if (options.input.empty() == options.synthetic.empty()) {
    return UsageError(options.input.empty() ? "INPUT is missing; --help shows examples"
                                            : "INPUT and --synthetic exclude each other");
  }
  if (IsArtifactName(options.output)) {
    options.output.erase(options.output.find_last_not_of('/') + 1);
  }
  RETURN_IF_ERROR(FinishEmit(options));
  RETURN_IF_ERROR(CheckOutputs(options));
  if (options.target.empty()) {
    return UsageError("--target must name a target, such as cpu");
  }
  if (options.verify_diagnostics && !IsTextInput(options.input)) {
    return UsageError("--verify-diagnostics needs .dv text, whose comments name the errors, but INPUT is '",
                      options.input, "'");
  }
  if (has_pipeline && options.sparsity) {
    return UsageError("--pipeline and --sparsity exclude each other: a pipeline says itself what becomes sparse");
  }
  RETURN_IF_ERROR(CheckBudgets(options));
  RETURN_IF_ERROR(CheckBatch(options, has_pipeline));
  RETURN_IF_ERROR(CheckKv(options, has_pipeline));
  RETURN_IF_ERROR(CheckContract(options));
  if (has_pipeline && !options.compile_to.empty()) {
    return UsageError("--pipeline and --compile-to exclude each other: a pipeline ends where its last pass does");
  }
  if (options.emit != "ir" && !options.compile_to.empty() && options.compile_to != "sched") {
    return UsageError("--emit=", options.emit, " needs the module at sched; leave out --compile-to");
  }
  for (const std::string& pass : options.print_ir_after) {
    if (pass.empty()) {
      options.passes.print_after_all = true;
    } else if (FindPass(pass) == nullptr) {
      return UsageError("--print-ir-after: there is no pass '", pass, "'; --list-passes shows them all");
    } else {
      options.passes.print_after.insert(pass);
    }
  }
  options.passes.input_name = options.input.empty() ? "--synthetic=" + options.synthetic : options.input;
  return absl::OkStatus();
}

}  // namespace dejavu
