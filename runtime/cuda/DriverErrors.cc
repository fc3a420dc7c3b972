#include "runtime/cuda/DriverErrors.h"

namespace dejavu::cuda {
namespace {

constexpr DriverError kDriverErrors[] = {
    {1, "CUDA_ERROR_INVALID_VALUE", Blame::kUs, "an argument is wrong"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", Blame::kMemory, "its memory is full"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", Blame::kUs, "the driver was not initialised"},
    {4, "CUDA_ERROR_DEINITIALIZED", Blame::kMachine, "the driver is shutting down"},
    {34, "CUDA_ERROR_STUB_LIBRARY", Blame::kMachine,
     "the loaded libcuda.so.1 is the toolkit's stub; put the driver's own first in the library path"},
    {36, "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", Blame::kMachine, "the driver is too old for this call; update it"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", Blame::kMachine, "another process has the device for itself, or it is busy"},
    {100, "CUDA_ERROR_NO_DEVICE", Blame::kMachine,
     "the driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it); use --device=cpu"},
    {101, "CUDA_ERROR_INVALID_DEVICE", Blame::kMachine, "there is no such device"},
    {102, "CUDA_ERROR_DEVICE_NOT_LICENSED", Blame::kMachine, "the device has no licence"},
    {200, "CUDA_ERROR_INVALID_IMAGE", Blame::kMachine, "the code file is no code for a GPU; build the artifact again"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", Blame::kUs, "no context of the device is current"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", Blame::kMachine, "the code file holds no code for this GPU"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", Blame::kMachine, "its memory has an uncorrectable error; see nvidia-smi -q"},
    {220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", Blame::kMachine, "NVLink has an uncorrectable error"},
    {226, "CUDA_ERROR_CONTAINED", Blame::kMachine, "its memory has an error that ends this program's use of it"},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", Blame::kMachine, "the operating system refused; see dmesg"},
    {400, "CUDA_ERROR_INVALID_HANDLE", Blame::kUs, "a handle is wrong"},
    {401, "CUDA_ERROR_ILLEGAL_STATE", Blame::kUs, "an object is in the wrong state"},
    {500, "CUDA_ERROR_NOT_FOUND", Blame::kName, "a named thing is not there"},
    {600, "CUDA_ERROR_NOT_READY", Blame::kUs, "a result was read too early"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", Blame::kUs, "a kernel left its buffers"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", Blame::kUs, "a kernel needs more registers or memory than there are"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", Blame::kMachine, "a kernel ran longer than this system allows"},
    {709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", Blame::kMachine, "its context was destroyed"},
    {710, "CUDA_ERROR_ASSERT", Blame::kUs, "an assertion of a kernel failed"},
    {714, "CUDA_ERROR_HARDWARE_STACK_ERROR", Blame::kUs, "a kernel broke its stack"},
    {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", Blame::kUs, "a kernel holds an illegal instruction"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", Blame::kUs, "a kernel used a misaligned address"},
    {717, "CUDA_ERROR_INVALID_ADDRESS_SPACE", Blame::kUs, "a kernel used an address of the wrong kind"},
    {718, "CUDA_ERROR_INVALID_PC", Blame::kUs, "a kernel jumped out of its code"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", Blame::kUs, "a kernel ended in an error"},
    {800, "CUDA_ERROR_NOT_PERMITTED", Blame::kMachine, "that is not permitted here"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", Blame::kMachine, "the driver or the device cannot do this"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY", Blame::kMachine,
     "the system is not ready; where GPUs are connected by NVSwitch, nvidia-fabricmanager must run"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", Blame::kMachine,
     "the driver's library and its kernel module have different versions; reboot after updates"},
    {804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", Blame::kMachine,
     "the forward compatibility package does not support this GPU"},
    {912, "CUDA_ERROR_INVALID_CLUSTER_SIZE", Blame::kUs, "a kernel's cluster is too large"},
    {999, "CUDA_ERROR_UNKNOWN", Blame::kMachine, "the driver does not know why; see dmesg"},
};

constexpr DriverError kUnlisted = {-1, "", Blame::kMachine, "for a reason that this program doesn't know"};

}  // namespace

const DriverError& FindDriverError(Result result) {
  for (const DriverError& error : kDriverErrors) {
    if (error.result == result) {
      return error;
    }
  }
  return kUnlisted;
}

}  // namespace dejavu::cuda
