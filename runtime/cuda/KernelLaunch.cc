#include "runtime/cuda/KernelLaunch.h"

#include <array>

#include "ir/base/Status.h"

namespace dejavu::cuda {

absl::Status LaunchOnStream(const CudaDevice& device, FunctionHandle function, const LaunchSize& size,
                            std::span<const uint64_t> params, StreamHandle stream) {
  size_t bytes = params.size_bytes();
  std::array<void*, 5> extra = {reinterpret_cast<void*>(kLaunchParamBuffer), const_cast<uint64_t*>(params.data()),
                                reinterpret_cast<void*>(kLaunchParamBufferSize), &bytes,
                                reinterpret_cast<void*>(kLaunchParamEnd)};
  return device.driver().LaunchKernel(function, size.blocks, 1U, 1U, size.threads, 1U, 1U, size.shared_bytes, stream,
                                      nullptr, extra.data());
}

absl::Status LaunchOnStream(const CudaDevice& device, const BoundLaunch& launch, StreamHandle stream) {
  return WithContext(LaunchOnStream(device, launch.function, {launch.blocks, launch.threads, launch.shared_bytes},
                                    launch.params, stream),
                     absl::string_view(launch.symbol.data(), launch.symbol.size()));
}

}  // namespace dejavu::cuda
