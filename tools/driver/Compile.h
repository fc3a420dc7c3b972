// From a module to an artifact on disk.
#ifndef DEJAVU_TOOLS_DRIVER_COMPILE_H_
#define DEJAVU_TOOLS_DRIVER_COMPILE_H_

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "codegen/target/Target.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

/// A target and the instruction set to compile for, from `cpu` (this machine's best), `cpu:x86-64-v3` or `cuda:sm_90`.
struct TargetChoice {
  std::string target;
  std::string isa;
};

/// Parses the value of --target=, comma separated. Usage errors list what there is.
[[nodiscard]] absl::StatusOr<std::vector<TargetChoice>> ParseTargets(const std::string& text);

/// What was compiled for artifacts that are made one after the other, with predictors in some layers or other: code
/// that has all the kernels of one, and maybe more, serves it too. Each new code has the first one's kernels beside its
/// own, so that after each predictor was in all layers nothing is new where it is in some of them and the others are as
/// they were at first.
class CodeCache {
 public:
  [[nodiscard]] absl::StatusOr<CompiledCode> Compile(const Target& target, absl::Span<const KernelSpec> kernels,
                                                     const std::string& isa);
  /// How often something was compiled.
  [[nodiscard]] size_t compiled() const { return entries_.size(); }

 private:
  struct Entry {
    std::string target;
    std::string isa;
    std::vector<KernelSpec> kernels;
    CompiledCode code;
  };
  std::vector<Entry> entries_;
};

struct ArtifactOptions {
  std::string path;       // NAME.dejavu
  std::string tokenizer;  // folder of vocab.json and merges.txt; empty for none
  std::vector<TargetChoice> targets;
  nlohmann::json contract = nullptr;  // what was promised and measured, for the manifest
  CodeCache* code = nullptr;          // the caller's; null: all code is compiled, and none that isn't needed
};

/// Compiles `module`, which must be at [sched], for each target and writes the artifact: all of it or nothing. Shows
/// progress on stderr while more than a gigabyte of weights is packed, if that is a terminal.
[[nodiscard]] absl::Status WriteArtifact(const Module& module, WeightStore& weights, const ArtifactOptions& options);

/// Every format of kernels' text that some target prints, as --emit= names them.
[[nodiscard]] std::vector<std::string> KernelFormats();

/// The first of `choices` whose target prints kernels in `format`; a usage error without one.
[[nodiscard]] absl::StatusOr<TargetChoice> ChooseForFormat(const std::vector<TargetChoice>& choices,
                                                           const std::string& format);

/// The kernels of `module` as text in a format that the target prints.
[[nodiscard]] absl::StatusOr<std::string> EmitKernelText(const Module& module, const TargetChoice& choice,
                                                         const std::string& format);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_COMPILE_H_
