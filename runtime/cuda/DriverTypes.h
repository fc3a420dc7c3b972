// The part of the CUDA driver's C interface that the runtime uses, declared here so that building needs no toolkit. A
// test compares it with cuda.h where there is one.
#ifndef DEJAVU_RUNTIME_CUDA_DRIVERTYPES_H_
#define DEJAVU_RUNTIME_CUDA_DRIVERTYPES_H_

#include <cstddef>
#include <cstdint>

namespace dejavu::cuda {

using Result = int32_t;          // CUresult; 0 is success
using DeviceNumber = int32_t;    // CUdevice
using DevicePointer = uint64_t;  // CUdeviceptr

// Handles are pointers to structs of the driver's own.
using ContextHandle = struct ContextTag*;      // CUcontext
using ModuleHandle = struct ModuleTag*;        // CUmodule
using FunctionHandle = struct FunctionTag*;    // CUfunction
using StreamHandle = struct StreamTag*;        // CUstream
using EventHandle = struct EventTag*;          // CUevent
using GraphHandle = struct GraphTag*;          // CUgraph
using NodeHandle = struct NodeTag*;            // CUgraphNode
using GraphExecHandle = struct GraphExecTag*;  // CUgraphExec

inline constexpr Result kSuccess = 0;
inline constexpr Result kErrorOutOfMemory = 2;
inline constexpr Result kErrorNoDevice = 100;
inline constexpr Result kErrorNotFound = 500;

// CUdevice_attribute
inline constexpr int32_t kMultiprocessorCount = 16;
inline constexpr int32_t kCapabilityMajor = 75;
inline constexpr int32_t kCapabilityMinor = 76;
inline constexpr int32_t kMaxSharedMemoryPerBlock = 97;  // ..._PER_BLOCK_OPTIN
// CUfunction_attribute
inline constexpr int32_t kMaxDynamicSharedBytes = 8;
inline constexpr int32_t kSharedCarveout = 9;  // PREFERRED_SHARED_MEMORY_..., in percent
// Flags
inline constexpr uint32_t kStreamNonBlocking = 1;
inline constexpr uint32_t kEventDefault = 0;
inline constexpr uint32_t kEventDisableTiming = 2;
inline constexpr uint32_t kHostAllocPortable = 1;
// CUmemorytype
inline constexpr int32_t kMemoryHost = 1;
inline constexpr int32_t kMemoryDevice = 2;

// CU_LAUNCH_PARAM_*: tags in the list KernelNodeParams::extra, each but the last followed by its value.
enum LaunchParam : uintptr_t { kLaunchParamEnd = 0, kLaunchParamBuffer = 1, kLaunchParamBufferSize = 2 };

// CUDA_KERNEL_NODE_PARAMS_v2
struct KernelNodeParams {
  FunctionHandle function = nullptr;
  uint32_t grid_x = 1;
  uint32_t grid_y = 1;
  uint32_t grid_z = 1;
  uint32_t block_x = 1;
  uint32_t block_y = 1;
  uint32_t block_z = 1;
  uint32_t shared_bytes = 0;
  void** params = nullptr;
  void** extra = nullptr;
  void* kernel = nullptr;
  ContextHandle context = nullptr;
};

// CUDA_MEMCPY3D_v2
struct Copy3d {
  struct Side {
    size_t x_bytes = 0;
    size_t y = 0;
    size_t z = 0;
    size_t level = 0;
    int32_t memory_type = 0;
    void* host = nullptr;
    DevicePointer device = 0;
    void* array = nullptr;
    void* reserved = nullptr;
    size_t pitch = 0;
    size_t height = 0;
  };
  Side from;
  Side to;
  size_t width_bytes = 0;
  size_t height = 1;
  size_t depth = 1;
};

// CUgraphEdgeData: all zero is an ordinary dependency.
struct EdgeData {
  uint8_t from_port = 0;
  uint8_t to_port = 0;
  uint8_t type = 0;
  uint8_t reserved[5] = {};
};
// The edge of programmatic dependent launch: the later kernel starts when all blocks of the earlier one have said so.
inline constexpr EdgeData kProgrammaticEdge = {.from_port = 1, .type = 1};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_DRIVERTYPES_H_
