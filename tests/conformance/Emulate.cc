#include "tests/conformance/Emulate.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"

namespace dejavu::testing {
namespace {

/// Which of the two was not found when the tests were configured, if any.
std::string Missing(std::string_view qemu, std::string_view driver, const char* qemu_name, const char* compiler) {
  const char* missing = qemu.empty() ? qemu_name : driver.empty() ? compiler : nullptr;
  return missing == nullptr ? "" : absl::StrCat(missing, " was not found when the tests were configured");
}

void AppendInt(std::string& bytes, int64_t value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// The driver's file of arguments, and where in it each buffer stands.
std::pair<std::string, std::vector<size_t>> Pack(const Problem& problem) {
  std::string bytes;
  std::vector<size_t> offsets;
  for (const int64_t dim : DimsOf(problem)) {
    AppendInt(bytes, dim);
  }
  AppendInt(bytes, static_cast<int64_t>(problem.args.size()));
  for (const Argument& argument : problem.args) {
    const bool shared = argument.same_as >= 0;
    AppendInt(bytes, !argument.present ? 0 : shared ? 2 : 1);
    AppendInt(bytes, shared ? argument.same_as : static_cast<int64_t>(argument.bytes.size()));
    offsets.push_back(shared ? offsets[static_cast<size_t>(argument.same_as)] : bytes.size());
    if (argument.present && !shared) {
      bytes.append(reinterpret_cast<const char*>(argument.bytes.data()), argument.bytes.size());
    }
  }
  return {bytes, offsets};
}

}  // namespace

const std::vector<Emulator>& Emulators() {
  static const std::vector<Emulator> emulators = {
      {"aarch64", DEJAVU_QEMU_AARCH64 " -L /usr/aarch64-linux-gnu", DEJAVU_AARCH64_DRIVER,
       Missing(DEJAVU_QEMU_AARCH64, DEJAVU_AARCH64_DRIVER, "qemu-aarch64", "aarch64-linux-gnu-gcc")},
      // Nehalem has SSE4.2, but no AVX, F16C or FMA.
      {"x86-64-v2", DEJAVU_QEMU_X86_64 " -cpu Nehalem", DEJAVU_X86_64_DRIVER,
       Missing(DEJAVU_QEMU_X86_64, DEJAVU_X86_64_DRIVER, "qemu-x86_64", "a compiler for x86-64")}};
  return emulators;
}

const Emulator* FindEmulator(std::string_view isa) {
  const auto found =
      std::find_if(Emulators().begin(), Emulators().end(), [&](const Emulator& e) { return e.isa == isa; });
  return found == Emulators().end() ? nullptr : &*found;
}

EmulatedKernels::EmulatedKernels(const Emulator& emulator, const std::vector<std::byte>& object)
    : emulator_(emulator), folder_((std::filesystem::temp_directory_path() / "dejavu-emulate-XXXXXX").string()) {
  if (mkdtemp(folder_.data()) != nullptr) {
    std::ofstream file(folder_ + "/kernels.so", std::ios::binary);
    file.write(reinterpret_cast<const char*>(object.data()), static_cast<std::streamsize>(object.size()));
  }
}

EmulatedKernels::~EmulatedKernels() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::StatusOr<std::vector<Argument>> EmulatedKernels::Call(const std::string& symbol, const Problem& problem,
                                                            int threads, Placement placement) const {
  const auto [bytes, offsets] = Pack(problem);
  const std::string path = folder_ + "/arguments";
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  const std::string command = absl::StrCat(emulator_.command, " ", emulator_.driver, " ", folder_, "/kernels.so ",
                                           symbol, " ", threads, " ", placement == Placement::kEnd ? 1 : 0, " ", path);
  const int code = std::system(command.c_str());
  if (code != 0) {
    return absl::InternalError(absl::StrCat("'", command, "' ended with status ", code));
  }
  std::ifstream file(path, std::ios::binary);
  const std::string after{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (after.size() != bytes.size()) {
    return absl::InternalError("the driver changed the size of the arguments");
  }
  std::vector<Argument> arguments = problem.args;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const int same_as = arguments[i].same_as;
    if (same_as >= 0) {
      arguments[i] = arguments[static_cast<size_t>(same_as)];
    } else {
      const auto* start = reinterpret_cast<const std::byte*>(after.data()) + offsets[i];
      std::copy_n(start, arguments[i].bytes.size(), arguments[i].bytes.begin());
    }
  }
  return arguments;
}

}  // namespace dejavu::testing
