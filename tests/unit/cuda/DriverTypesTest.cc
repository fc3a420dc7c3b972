// Our declarations of the driver's interface against the toolkit's own, and its list of functions against the library.
#define __CUDA_API_VERSION_INTERNAL  // cuda.h then declares every version of a function under its own name
#include <cuda.h>
#include <dlfcn.h>
#include <gtest/gtest.h>

#include "runtime/cuda/Driver.h"
#include "tests/unit/cuda/SameFunction.h"

namespace dejavu::cuda {
namespace {

#define CHECK_FUNCTION(name, symbol, ...) \
  static_assert(SameFunction<Result (*)(__VA_ARGS__), decltype(&::symbol)>::value, #symbol);
DEJAVU_CUDA_FUNCTIONS(CHECK_FUNCTION)
#undef CHECK_FUNCTION

#define CHECK_FIELD(ours, our_field, theirs, their_field)                     \
  static_assert(offsetof(ours, our_field) == offsetof(theirs, their_field) && \
                    sizeof(ours::our_field) == sizeof(theirs::their_field),   \
                #our_field)
#define CHECK_KERNEL(ours, theirs) CHECK_FIELD(KernelNodeParams, ours, CUDA_KERNEL_NODE_PARAMS_v2, theirs)
CHECK_KERNEL(function, func);
CHECK_KERNEL(grid_x, gridDimX);
CHECK_KERNEL(grid_y, gridDimY);
CHECK_KERNEL(grid_z, gridDimZ);
CHECK_KERNEL(block_x, blockDimX);
CHECK_KERNEL(block_y, blockDimY);
CHECK_KERNEL(block_z, blockDimZ);
CHECK_KERNEL(shared_bytes, sharedMemBytes);
CHECK_KERNEL(params, kernelParams);
CHECK_KERNEL(extra, extra);
CHECK_KERNEL(kernel, kern);
CHECK_KERNEL(context, ctx);
static_assert(sizeof(KernelNodeParams) == sizeof(CUDA_KERNEL_NODE_PARAMS_v2));

#define CHECK_COPY(ours, theirs) CHECK_FIELD(Copy3d, ours, CUDA_MEMCPY3D_v2, theirs)
CHECK_COPY(from.x_bytes, srcXInBytes);
CHECK_COPY(from.y, srcY);
CHECK_COPY(from.z, srcZ);
CHECK_COPY(from.level, srcLOD);
CHECK_COPY(from.memory_type, srcMemoryType);
CHECK_COPY(from.host, srcHost);
CHECK_COPY(from.device, srcDevice);
CHECK_COPY(from.array, srcArray);
CHECK_COPY(from.reserved, reserved0);
CHECK_COPY(from.pitch, srcPitch);
CHECK_COPY(from.height, srcHeight);
CHECK_COPY(to.x_bytes, dstXInBytes);
CHECK_COPY(to.y, dstY);
CHECK_COPY(to.z, dstZ);
CHECK_COPY(to.level, dstLOD);
CHECK_COPY(to.memory_type, dstMemoryType);
CHECK_COPY(to.host, dstHost);
CHECK_COPY(to.device, dstDevice);
CHECK_COPY(to.array, dstArray);
CHECK_COPY(to.reserved, reserved1);
CHECK_COPY(to.pitch, dstPitch);
CHECK_COPY(to.height, dstHeight);
CHECK_COPY(width_bytes, WidthInBytes);
CHECK_COPY(height, Height);
CHECK_COPY(depth, Depth);
static_assert(sizeof(Copy3d) == sizeof(CUDA_MEMCPY3D_v2));

CHECK_FIELD(EdgeData, from_port, CUgraphEdgeData, from_port);
CHECK_FIELD(EdgeData, to_port, CUgraphEdgeData, to_port);
CHECK_FIELD(EdgeData, type, CUgraphEdgeData, type);
static_assert(sizeof(EdgeData) == sizeof(CUgraphEdgeData));
static_assert(kProgrammaticEdge.from_port == CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC);
static_assert(kProgrammaticEdge.type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC);

static_assert(kSuccess == CUDA_SUCCESS && kErrorOutOfMemory == CUDA_ERROR_OUT_OF_MEMORY);
static_assert(kErrorNoDevice == CUDA_ERROR_NO_DEVICE && kErrorNotFound == CUDA_ERROR_NOT_FOUND);
static_assert(kMultiprocessorCount == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
static_assert(kCapabilityMajor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
static_assert(kCapabilityMinor == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
static_assert(kMaxSharedMemoryPerBlock == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
static_assert(kMaxDynamicSharedBytes == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
static_assert(kSharedCarveout == CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT);
static_assert(kStreamNonBlocking == CU_STREAM_NON_BLOCKING);
static_assert(kEventDefault == CU_EVENT_DEFAULT && kEventDisableTiming == CU_EVENT_DISABLE_TIMING);
static_assert(kHostAllocPortable == CU_MEMHOSTALLOC_PORTABLE);
static_assert(kMemoryHost == CU_MEMORYTYPE_HOST && kMemoryDevice == CU_MEMORYTYPE_DEVICE);
static_assert(kLaunchParamBuffer == CU_LAUNCH_PARAM_BUFFER_POINTER_AS_INT);
static_assert(kLaunchParamBufferSize == CU_LAUNCH_PARAM_BUFFER_SIZE_AS_INT);
static_assert(kLaunchParamEnd == CU_LAUNCH_PARAM_END_AS_INT);

TEST(DriverTypesTest, TheLibraryHasEveryFunction) {
  void* stub = dlopen(DEJAVU_CUDA_STUB, RTLD_LAZY | RTLD_LOCAL);
  if (stub == nullptr) {
    GTEST_SKIP() << "the toolkit has no stub of the driver's library";
  }
#define FIND_FUNCTION(name, symbol, ...) EXPECT_NE(dlsym(stub, #symbol), nullptr) << #symbol;
  DEJAVU_CUDA_FUNCTIONS(FIND_FUNCTION)
#undef FIND_FUNCTION
}

}  // namespace
}  // namespace dejavu::cuda
