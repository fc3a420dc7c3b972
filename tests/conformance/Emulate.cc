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

constexpr const char* kQemu = DEJAVU_QEMU_AARCH64;
constexpr const char* kDriver = DEJAVU_AARCH64_DRIVER;
constexpr const char* kSysroot = DEJAVU_AARCH64_SYSROOT;

void AppendInt(std::string& bytes, int64_t value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// The driver's file of arguments, and where in it each buffer stands.
std::pair<std::string, std::vector<size_t>> Pack(const Problem& problem) {
  std::string bytes;
  std::vector<size_t> offsets;
  AppendInt(bytes, problem.tokens);
  AppendInt(bytes, problem.past);
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

std::string WhyNoEmulation() {
  if (std::strlen(kDriver) == 0) {
    return "aarch64-linux-gnu-gcc was not found when the tests were configured";
  }
  return std::strlen(kQemu) == 0 ? "qemu-aarch64 was not found when the tests were configured" : "";
}

EmulatedKernels::EmulatedKernels(const std::vector<std::byte>& object)
    : folder_((std::filesystem::temp_directory_path() / "dejavu-emulate-XXXXXX").string()) {
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
  const std::string command = absl::StrCat(kQemu, " -L ", kSysroot, " ", kDriver, " ", folder_, "/kernels.so ", symbol,
                                           " ", threads, " ", placement == Placement::kEnd ? 1 : 0, " ", path);
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
