#include "runtime/cuda/Driver.h"

#include <dlfcn.h>

#include "ir/base/Status.h"
#include "runtime/cuda/DriverErrors.h"

namespace dejavu::cuda {
namespace {

constexpr char kLibrary[] = "libcuda.so.1";

std::string VersionText(int version) { return absl::StrCat(version / 1000, ".", version % 1000 / 10); }

absl::Status CheckVersion(int version) {
  if (version >= Driver::kMinVersion) {
    return absl::OkStatus();
  }
  return UserError("the NVIDIA driver is too old: it is made for CUDA ", VersionText(version), ", but CUDA ",
                   VersionText(Driver::kMinVersion),
                   " or newer is needed (driver 545 or newer); update the driver or use --device=cpu");
}

}  // namespace

absl::Status ToStatus(Result result, const char* function) {
  if (result == kSuccess) {
    return absl::OkStatus();
  }
  const DriverError& error = FindDriverError(result);
  const std::string number = error.result == result ? std::string(error.name) : absl::StrCat("CUDA error ", result);
  const std::string message = absl::StrCat("the GPU failed: ", error.words, " (", number, " from ", function, ")");
  switch (error.blame) {
    case Blame::kMachine:
      return UserError(message);
    case Blame::kMemory:
      return absl::ResourceExhaustedError(message);
    case Blame::kName:
      return absl::NotFoundError(message);
    case Blame::kUs:
      return BugError(message);
  }
  return BugError(message);
}

absl::StatusOr<const Driver*> Driver::Get() {
  static const auto* driver = new absl::StatusOr<std::unique_ptr<const Driver>>(Load(kLibrary));
  if (!driver->ok()) {
    return driver->status();
  }
  return (*driver)->get();
}

absl::StatusOr<std::unique_ptr<const Driver>> Driver::Load(const std::string& library) {
  // Never closed: the driver keeps threads of its own.
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return UserError("there is no NVIDIA driver (", dlerror(), "); install it or use --device=cpu");
  }
  // Asked before anything else, as an old driver lacks the functions that are looked up later.
  auto get_version = reinterpret_cast<Result (*)(int32_t*)>(dlsym(handle, "cuDriverGetVersion"));
  int32_t version = 0;
  if (get_version == nullptr) {
    return UserError(library, ": is not the NVIDIA driver: it has no cuDriverGetVersion");
  }
  RETURN_IF_ERROR(ToStatus(get_version(&version), "cuDriverGetVersion"));
  RETURN_IF_ERROR(CheckVersion(version));
  std::unique_ptr<Driver> driver(new Driver());
  RETURN_IF_ERROR(driver->Resolve(handle));
  RETURN_IF_ERROR(driver->Init(0U));
  return std::unique_ptr<const Driver>(std::move(driver));
}

absl::Status Driver::Resolve(void* library) {
  const char* missing = nullptr;
#define DEJAVU_CUDA_RESOLVE(name, symbol, ...)                                          \
  functions_.name = reinterpret_cast<Result (*)(__VA_ARGS__)>(dlsym(library, #symbol)); \
  missing = functions_.name == nullptr ? #symbol : missing;
  DEJAVU_CUDA_FUNCTIONS(DEJAVU_CUDA_RESOLVE)
#undef DEJAVU_CUDA_RESOLVE
  return missing == nullptr ? absl::OkStatus()
                            : UserError("the NVIDIA driver has no function ", missing, "; reinstall it");
}

}  // namespace dejavu::cuda
