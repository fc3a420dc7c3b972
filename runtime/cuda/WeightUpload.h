// Weights from the artifact to the device.
#ifndef DEJAVU_RUNTIME_CUDA_WEIGHTUPLOAD_H_
#define DEJAVU_RUNTIME_CUDA_WEIGHTUPLOAD_H_

#include "absl/status/status.h"
#include "runtime/artifact/ArtifactReader.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/cuda/MemoryLayout.h"

namespace dejavu::cuda {

/// How much goes to the device at once: large enough that the copies run at the bus's speed, small enough that two
/// buffers of it don't matter.
inline constexpr int64_t kUploadWindowBytes = int64_t{32} << 20;

/// Copies every tensor to its place after `base`, in one pass over the file: through two pinned buffers, one being
/// filled while the device copies the other, with the hashes computed beside that, of what the device gets, if
/// `options` asks for them. Returns when all is done; a damaged tensor is the user error that loading on the CPU gives.
[[nodiscard]] absl::Status UploadWeights(const CudaDevice& device, const Weights& weights, const WeightLayout& layout,
                                         DevicePointer base, const WeightOptions& options,
                                         int64_t window_bytes = kUploadWindowBytes);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_WEIGHTUPLOAD_H_
