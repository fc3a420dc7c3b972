// The weights of synthetic models, made on the device.
#ifndef DEJAVU_RUNTIME_CUDA_WEIGHTFILL_H_
#define DEJAVU_RUNTIME_CUDA_WEIGHTFILL_H_

#include <vector>

#include "absl/status/status.h"
#include "runtime/artifact/SyntheticTensor.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/cuda/MemoryLayout.h"

namespace dejavu::cuda {

/// The name of the code file's kernel that fills a tensor.
inline constexpr char kFillSymbol[] = "synthetic_fill";

/// Runs `kernel`, found by that name, for each tensor, and waits. The device's context must be the current one.
[[nodiscard]] absl::Status FillWeights(const CudaDevice& device, FunctionHandle kernel,
                                       const std::vector<const SyntheticTensor*>& tensors, const WeightLayout& layout,
                                       DevicePointer base);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_WEIGHTFILL_H_
