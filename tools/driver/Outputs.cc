#include "tools/driver/Outputs.h"

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace dejavu {
namespace {

namespace fs = std::filesystem;

/// A file or folder that will be replaced as a whole.
struct Output {
  std::string path;
  std::string flag;  // with the path, for messages
};

/// The outputs whose names are taken already: only they can overwrite something.
std::vector<Output> TakenNames(const OptOptions& options) {
  std::vector<Output> outputs;
  std::error_code error;
  if (options.output != "-" && fs::exists(options.output, error)) {
    outputs.push_back({options.output, absl::StrCat("-o ", options.output)});
  }
  if (fs::exists(options.passes.reproducer, error)) {
    outputs.push_back({options.passes.reproducer, absl::StrCat("--reproducer=", options.passes.reproducer)});
  }
  return outputs;
}

bool IsSameFile(const std::string& a, const std::string& b) {
  std::error_code error;  // files that are not there are not the same
  return fs::equivalent(a, b, error) && !error;
}

bool IsInside(const std::string& path, const std::string& folder) {
  std::error_code error;
  const fs::path real_folder = fs::canonical(folder, error);
  const fs::path real_path = error ? fs::path() : fs::canonical(path, error);
  if (error) {
    return false;
  }
  const fs::path relative = real_path.lexically_relative(real_folder);
  return !relative.empty() && *relative.begin() != ".." && *relative.begin() != ".";
}

}  // namespace

absl::Status CheckOutputs(const OptOptions& options) {
  const bool remakes = options.emit == "artifact" && IsArtifactName(options.input);
  for (const Output& output : TakenNames(options)) {
    if (IsSameFile(output.path, options.input)) {
      if (remakes && output.path == options.output) {
        continue;
      }
      return UsageError(output.flag, " is INPUT and would overwrite it; choose another name");
    }
    // An artifact that was built into a checkpoint's folder before is no part of the checkpoint.
    const bool rebuilds = options.emit == "artifact" && !IsArtifactName(options.input) &&
                          output.path == options.output && fs::exists(fs::path(output.path) / "manifest.json");
    if (!rebuilds && IsInside(output.path, options.input)) {
      return UsageError(output.flag, " is a part of INPUT and would overwrite it; choose another name");
    }
    if (IsInside(options.input, output.path)) {
      return UsageError(output.flag, " holds INPUT and would replace it; choose another name");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOutputsSpareWeights(const Module& module, WeightStore& weights, const OptOptions& options) {
  const std::vector<Output> outputs = TakenNames(options);
  std::set<std::string> seen;
  for (const auto& weight : module.weights()) {
    if (outputs.empty() || weight->is_derived() || !seen.insert(weight->file).second) {
      continue;
    }
    for (const std::string& file : weights.FilesOf(*weight)) {
      for (const Output& output : outputs) {
        if (IsSameFile(output.path, file) || IsInside(file, output.path)) {
          return UsageError(output.flag, " would overwrite weights of the model, in ", file, "; choose another name");
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace dejavu
