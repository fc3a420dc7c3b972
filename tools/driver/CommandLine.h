// What the tools' command lines have in common.
#ifndef DEJAVU_TOOLS_DRIVER_COMMANDLINE_H_
#define DEJAVU_TOOLS_DRIVER_COMMANDLINE_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/engine/Model.h"
#include "runtime/text/Tokenizer.h"

namespace dejavu {

/// The flags of every tool that runs an artifact.
struct DeviceFlags {
  std::string device = "cpu";
  int threads = 0;  ///< 0 = every core.
};
void AddDeviceFlags(CLI::App& app, DeviceFlags& flags);

/// Refuses integers below `low`.
[[nodiscard]] CLI::Validator AtLeast(int64_t low);

/// Gives `app` the flags --help and --version and text after the flags, such as examples.
void DescribeTool(CLI::App& app, const std::string& footer);

/// Parses the command line, runs `body` and returns the exit code of the contract: 0, 1 for the user's error, 2 for
/// wrong usage, 70 for a bug. An interrupted `body` ends the program by the signal. Errors go to stderr; what `body`
/// printed must have reached stdout.
int RunTool(CLI::App& app, int argc, char** argv, const std::function<absl::Status()>& body);

/// Model::Load() with a progress bar on stderr while more than a gigabyte is checked.
[[nodiscard]] absl::StatusOr<std::shared_ptr<const Model>> LoadModel(const std::string& path, const DeviceFlags& flags);

/// The tokenizer in the folder `override_folder` if that is not empty, else the artifact's own; its absence is a user
/// error that says what to do.
[[nodiscard]] absl::StatusOr<Tokenizer> LoadTokenizer(const Model& model, const std::string& override_folder);
[[nodiscard]] bool HasTokenizer(const Model& model, const std::string& override_folder);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_COMMANDLINE_H_
