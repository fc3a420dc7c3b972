#include "tools/driver/CommandLine.h"

#include <iostream>
#include <new>

#include "absl/strings/numbers.h"
#include "ir/base/Status.h"
#include "tools/driver/Interrupt.h"
#include "tools/driver/ProgressBar.h"

namespace dejavu {
namespace {

constexpr int64_t kSlowLoadBytes = 1'000'000'000;

absl::Status FlushOutput() {
  std::cout.flush();
  return std::cout.good() ? absl::OkStatus() : UserError("cannot write to standard output; is the disk full?");
}

int RunParsed(const std::string& tool, const std::function<absl::Status()>& body) {
  try {
    absl::Status status = body();
    if (status.ok()) {
      status = FlushOutput();
    }
    const int code = ReportAndExitCode(tool, status);
    return absl::IsCancelled(status) ? EndByInterrupt() : code;
  } catch (const std::bad_alloc&) {
    return ReportAndExitCode(tool, UserError("not enough memory"));
  } catch (const std::exception& error) {
    return ReportAndExitCode(tool, BugError("uncaught exception: ", error.what()));
  }
}

}  // namespace

void AddDeviceFlags(CLI::App& app, DeviceFlags& flags) {
  app.add_option("--device", flags.device, "Where to run: cpu, cuda or cuda:N")
      ->type_name("DEVICE")
      ->capture_default_str();
  app.add_option("--threads", flags.threads, "CPU threads; 0 means one per physical core")
      ->type_name("N")
      ->capture_default_str();
}

CLI::Validator AtLeast(int64_t low) {
  return CLI::Validator(
      [low](const std::string& text) {
        int64_t value = 0;
        const bool fits = absl::SimpleAtoi(text, &value) && value >= low;
        return fits ? std::string() : absl::StrCat("'", text, "' is not an integer of at least ", low);
      },
      "");
}

void DescribeTool(CLI::App& app, const std::string& footer) {
  app.set_help_flag("-h,--help", "Print this text and exit");
  app.set_version_flag("--version", app.get_name() + " " DEJAVU_VERSION, "Print the version and exit");
  app.get_formatter()->column_width(34);
  app.footer(footer);
}

int RunTool(CLI::App& app, int argc, char** argv, const std::function<absl::Status()>& body) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    const int code = app.exit(success, std::cout, std::cerr);
    const absl::Status status = FlushOutput();
    return status.ok() ? code : ReportAndExitCode(app.get_name(), status);
  } catch (const CLI::ParseError& error) {
    std::cerr << app.get_name() << ": error: " << error.what() << "\nRun '" << app.get_name()
              << " --help' for the flags.\n";
    return 2;
  }
  return RunParsed(app.get_name(), body);
}

absl::StatusOr<std::shared_ptr<const Model>> LoadModel(const std::string& path, const DeviceFlags& flags) {
  ProgressBar bar(flags.device == "cpu" ? "checking weights" : "loading weights");
  ModelOptions options;
  options.device = flags.device;
  options.weights.progress = [&](int64_t done, int64_t total) {
    if (total > kSlowLoadBytes) {
      bar.Update(done, total);
    }
  };
  return Model::Load(path, options);
}

bool HasTokenizer(const Model& model, const std::string& override_folder) {
  return !override_folder.empty() ||
         model.artifact().manifest().files.contains(std::string(kTokenizerFolder) + "/vocab.json");
}

absl::StatusOr<Tokenizer> LoadTokenizer(const Model& model, const std::string& override_folder) {
  if (!HasTokenizer(model, override_folder)) {
    return UserError(model.artifact().path(),
                     ": has no tokenizer; give the folder of vocab.json and merges.txt with --tokenizer=DIR");
  }
  return Tokenizer::Load(override_folder.empty() ? model.artifact().FilePath(kTokenizerFolder) : override_folder);
}

}  // namespace dejavu
