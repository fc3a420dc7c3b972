// Kernels one by one on a stream, without a graph.
#ifndef DEJAVU_RUNTIME_CUDA_KERNELLAUNCH_H_
#define DEJAVU_RUNTIME_CUDA_KERNELLAUNCH_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/cuda/GraphBuilder.h"

namespace dejavu::cuda {

struct LaunchSize {
  uint32_t blocks = 1;
  uint32_t threads = 1;
  uint32_t shared_bytes = 0;
};

/// Each parameter of the kernel has eight bytes: an address or a number.
[[nodiscard]] absl::Status LaunchOnStream(const CudaDevice& device, FunctionHandle function, const LaunchSize& size,
                                          std::span<const uint64_t> params, StreamHandle stream);
[[nodiscard]] absl::Status LaunchOnStream(const CudaDevice& device, const BoundLaunch& launch, StreamHandle stream);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_KERNELLAUNCH_H_
