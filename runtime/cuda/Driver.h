// The CUDA driver, loaded when a GPU is asked for: programs need neither driver nor toolkit to start.
#ifndef DEJAVU_RUNTIME_CUDA_DRIVER_H_
#define DEJAVU_RUNTIME_CUDA_DRIVER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda/DriverTypes.h"

namespace dejavu::cuda {

/// Every function of the driver that is used: X(our name, the library's symbol, parameter types...). Symbols of the
/// same name differ in their version's suffix, as cuda.h hides behind macros.
#define DEJAVU_CUDA_FUNCTIONS(X)                                                                                  \
  X(Init, cuInit, uint32_t)                                                                                       \
  X(DriverGetVersion, cuDriverGetVersion, int32_t*)                                                               \
  X(DeviceGetCount, cuDeviceGetCount, int32_t*)                                                                   \
  X(DeviceGet, cuDeviceGet, DeviceNumber*, int32_t)                                                               \
  X(DeviceGetName, cuDeviceGetName, char*, int32_t, DeviceNumber)                                                 \
  X(DeviceGetAttribute, cuDeviceGetAttribute, int32_t*, int32_t, DeviceNumber)                                    \
  X(DevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, ContextHandle*, DeviceNumber)                               \
  X(DevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, DeviceNumber)                                          \
  X(CtxPushCurrent, cuCtxPushCurrent_v2, ContextHandle)                                                           \
  X(CtxPopCurrent, cuCtxPopCurrent_v2, ContextHandle*)                                                            \
  X(MemGetInfo, cuMemGetInfo_v2, size_t*, size_t*)                                                                \
  X(MemAlloc, cuMemAlloc_v2, DevicePointer*, size_t)                                                              \
  X(MemFree, cuMemFree_v2, DevicePointer)                                                                         \
  X(MemHostAlloc, cuMemHostAlloc, void**, size_t, uint32_t)                                                       \
  X(MemFreeHost, cuMemFreeHost, void*)                                                                            \
  X(MemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, DevicePointer, const void*, size_t, StreamHandle)                      \
  X(MemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, void*, DevicePointer, size_t, StreamHandle)                            \
  X(MemcpyDtoDAsync, cuMemcpyDtoDAsync_v2, DevicePointer, DevicePointer, size_t, StreamHandle)                    \
  X(MemsetD8Async, cuMemsetD8Async, DevicePointer, unsigned char, size_t, StreamHandle)                           \
  X(ModuleLoadData, cuModuleLoadData, ModuleHandle*, const void*)                                                 \
  X(ModuleUnload, cuModuleUnload, ModuleHandle)                                                                   \
  X(ModuleGetFunction, cuModuleGetFunction, FunctionHandle*, ModuleHandle, const char*)                           \
  X(FuncSetAttribute, cuFuncSetAttribute, FunctionHandle, int32_t, int32_t)                                       \
  X(LaunchKernel, cuLaunchKernel, FunctionHandle, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t,     \
    uint32_t, StreamHandle, void**, void**)                                                                       \
  X(StreamCreate, cuStreamCreate, StreamHandle*, uint32_t)                                                        \
  X(StreamDestroy, cuStreamDestroy_v2, StreamHandle)                                                              \
  X(StreamSynchronize, cuStreamSynchronize, StreamHandle)                                                         \
  X(EventCreate, cuEventCreate, EventHandle*, uint32_t)                                                           \
  X(EventDestroy, cuEventDestroy_v2, EventHandle)                                                                 \
  X(EventRecord, cuEventRecord, EventHandle, StreamHandle)                                                        \
  X(EventSynchronize, cuEventSynchronize, EventHandle)                                                            \
  X(EventElapsedTime, cuEventElapsedTime, float*, EventHandle, EventHandle)                                       \
  X(GraphCreate, cuGraphCreate, GraphHandle*, uint32_t)                                                           \
  X(GraphDestroy, cuGraphDestroy, GraphHandle)                                                                    \
  X(GraphAddKernelNode, cuGraphAddKernelNode_v2, NodeHandle*, GraphHandle, const NodeHandle*, size_t,             \
    const KernelNodeParams*)                                                                                      \
  X(GraphAddMemcpyNode, cuGraphAddMemcpyNode, NodeHandle*, GraphHandle, const NodeHandle*, size_t, const Copy3d*, \
    ContextHandle)                                                                                                \
  X(GraphAddEventRecordNode, cuGraphAddEventRecordNode, NodeHandle*, GraphHandle, const NodeHandle*, size_t,      \
    EventHandle)                                                                                                  \
  X(GraphAddDependencies, cuGraphAddDependencies_v2, GraphHandle, const NodeHandle*, const NodeHandle*,           \
    const EdgeData*, size_t)                                                                                      \
  X(GraphInstantiate, cuGraphInstantiateWithFlags, GraphExecHandle*, GraphHandle, unsigned long long)             \
  X(GraphExecDestroy, cuGraphExecDestroy, GraphExecHandle)                                                        \
  X(GraphUpload, cuGraphUpload, GraphExecHandle, StreamHandle)                                                    \
  X(GraphLaunch, cuGraphLaunch, GraphExecHandle, StreamHandle)

/// What `result` of a call of `function` means: OK, kResourceExhausted when the device's memory is full, kNotFound for
/// a missing symbol, a bug of ours where our code or a kernel broke the rules, and the user's error for everything
/// about the machine.
[[nodiscard]] absl::Status ToStatus(Result result, const char* function);

/// The driver's functions, each as a method of the same parameters that returns a Status. Threads may share it.
class Driver {
 public:
  /// The version from which on graphs have the edges of programmatic dependent launch: CUDA 12.3.
  static constexpr int kMinVersion = 12030;

  /// The process's driver, loaded and initialised by the first call. No driver, one that is too old, or one that finds
  /// no GPU are user errors.
  [[nodiscard]] static absl::StatusOr<const Driver*> Get();
  /// Loads `library` in its place; it stays loaded.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<const Driver>> Load(const std::string& library);

#define DEJAVU_CUDA_METHOD(name, symbol, ...)           \
  template <typename... Args>                           \
  [[nodiscard]] absl::Status name(Args... args) const { \
    return ToStatus(functions_.name(args...), #symbol); \
  }
  DEJAVU_CUDA_FUNCTIONS(DEJAVU_CUDA_METHOD)
#undef DEJAVU_CUDA_METHOD

 private:
  struct Functions {  // named as the methods that call them
#define DEJAVU_CUDA_POINTER(name, symbol, ...) Result (*name)(__VA_ARGS__) = nullptr;
    DEJAVU_CUDA_FUNCTIONS(DEJAVU_CUDA_POINTER)  // NOLINT(readability-identifier-naming)
#undef DEJAVU_CUDA_POINTER
  };

  Driver() = default;
  absl::Status Resolve(void* library);

  Functions functions_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_DRIVER_H_
