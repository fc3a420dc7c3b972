#include "runtime/cuda/Blas.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

#include "ir/base/Status.h"

namespace dejavu::cuda {
namespace {

struct BlasError {
  BlasResult result;
  const char* name;
  const char* words;
};

constexpr BlasError kBlasErrors[] = {
    {1, "CUBLAS_STATUS_NOT_INITIALIZED", "the driver may be too old for this cuBLASLt"},
    {3, "CUBLAS_STATUS_ALLOC_FAILED", "memory is full"},
    {7, "CUBLAS_STATUS_INVALID_VALUE", "an argument is wrong"},
    {8, "CUBLAS_STATUS_ARCH_MISMATCH", "it doesn't know this GPU"},
    {11, "CUBLAS_STATUS_MAPPING_ERROR", "it can't reach the GPU's memory"},
    {13, "CUBLAS_STATUS_EXECUTION_FAILED", "a product could not be run"},
    {14, "CUBLAS_STATUS_INTERNAL_ERROR", "it is broken or doesn't fit the driver"},
    {15, "CUBLAS_STATUS_NOT_SUPPORTED", "it can't compute this product"},
    {16, "CUBLAS_STATUS_LICENSE_ERROR", "it has no licence"},
};

std::vector<std::string> Candidates() {
  std::vector<std::string> folders = {""};
  if (const char* home = std::getenv("CUDA_HOME"); home != nullptr && *home != '\0') {
    folders.push_back(absl::StrCat(home, "/lib64/"));
  }
  folders.push_back("/usr/local/cuda/lib64/");
  std::vector<std::string> candidates;
  for (const std::string& folder : folders) {
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
      candidates.push_back(folder + name);
    }
  }
  return candidates;
}

}  // namespace

absl::Status BlasStatus(BlasResult result, const char* function) {
  if (result == kBlasSuccess) {
    return absl::OkStatus();
  }
  std::string message = absl::StrCat("cuBLASLt failed (error ", result, " from ", function, ")");
  for (const BlasError& error : kBlasErrors) {
    if (error.result == result) {
      message = absl::StrCat("cuBLASLt failed: ", error.words, " (", error.name, " from ", function, ")");
    }
  }
  switch (result) {
    case kBlasAllocFailed:
      return absl::ResourceExhaustedError(message);
    case kBlasInvalidValue:
      return BugError(message);
    case kBlasNotSupported:
      return absl::UnimplementedError(message);
    default:
      return UserError(message);
  }
}

absl::StatusOr<std::unique_ptr<const Blas>> Blas::Create(const CudaDevice& device) {
  absl::Status reason = absl::NotFoundError("there is no cuBLASLt");
  for (const std::string& library : Candidates()) {
    std::unique_ptr<Blas> blas(new Blas(device));
    const absl::Status status = blas->Init(library);
    if (status.ok()) {
      return std::unique_ptr<const Blas>(std::move(blas));
    }
    // What is wrong with a library says more than that others aren't there.
    reason = absl::IsNotFound(status) ? reason : status;
  }
  return reason;
}

absl::Status Blas::Init(const std::string& library) {
  // Never closed: it keeps code on the device.
  void* opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    return absl::NotFoundError(library);
  }
  const char* missing = nullptr;
#define DEJAVU_BLAS_RESOLVE(name, symbol, ...)                                             \
  functions_.name = reinterpret_cast<BlasResult (*)(__VA_ARGS__)>(dlsym(opened, #symbol)); \
  missing = functions_.name == nullptr ? #symbol : missing;
  DEJAVU_BLAS_FUNCTIONS(DEJAVU_BLAS_RESOLVE)
#undef DEJAVU_BLAS_RESOLVE
  if (missing != nullptr) {
    return UserError(library, " has no function ", missing);
  }
  return Create(&handle_);
}

Blas::~Blas() {
  if (handle_ != nullptr) {
    const CudaDevice::Scope scope(device_);
    Destroy(handle_).IgnoreError();
  }
}

}  // namespace dejavu::cuda
