// The command line of dejavu-opt.
#ifndef DEJAVU_TOOLS_DRIVER_OPTOPTIONS_H_
#define DEJAVU_TOOLS_DRIVER_OPTOPTIONS_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "passes/Pipelines.h"
#include "passes/manager/PassManager.h"
#include "tools/driver/Contract.h"

namespace dejavu {

struct OptOptions {
  std::string input;
  std::string synthetic;  // a shape instead of input
  std::string output;
  std::string emit;  // ir, artifact or a format of kernels; empty: by the output's name
  std::string target = "cpu";
  std::string tokenizer;
  std::optional<std::string> sparsity;
  Budgets budgets;
  std::string kv = "dense";
  ContractBounds contract;
  std::string contract_prices = "time";
  int contract_jobs = 1;
  bool json = false;           // the contract's outcome on stdout
  std::vector<int64_t> batch;  // numbers of sequences beside 1
  std::string pipeline;        // instead of the preset
  std::string compile_to;      // empty: sched for a model, as it is for .dv text that is only printed
  std::vector<std::string> print_ir_after;
  bool split_input_file = false;
  bool verify_diagnostics = false;
  bool verify_roundtrip = false;
  bool list_passes = false;
  bool print_ops_md = false;
  bool print_passes_md = false;
  PassManagerOptions passes;
};

/// Whether `path` is called NAME.dejavu, possibly with slashes behind it.
[[nodiscard]] bool IsArtifactName(std::string_view path);
/// Whether the input holds IR as text: a .dv file, standard input or an artifact.
[[nodiscard]] bool IsTextInput(std::string_view input);

/// Declares all flags on `app`, writing to `options`, which must outlive the parsing.
void AddOptFlags(CLI::App& app, OptOptions& options);

/// What the flags say together: checks combinations and fills in defaults. Usage errors name the flags.
[[nodiscard]] absl::Status FinishOptions(OptOptions& options, bool has_pipeline);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_OPTOPTIONS_H_
