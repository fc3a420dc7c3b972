// How fast a GPU's memory is.
#ifndef DEJAVU_RUNTIME_CUDA_CUDAMEMORYMETER_H_
#define DEJAVU_RUNTIME_CUDA_CUDAMEMORYMETER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/device/Device.h"

namespace dejavu::cuda {

/// Copies between two large buffers on the device, timed by the device.
class CudaMemoryMeter final : public MemoryMeter {
 public:
  /// The device must outlive the meter.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<MemoryMeter>> Create(const CudaDevice& device);

  [[nodiscard]] absl::StatusOr<double> Copy() override;
  [[nodiscard]] absl::StatusOr<std::optional<double>> Read() override { return std::nullopt; }

 private:
  CudaMemoryMeter(const CudaDevice& device, int64_t bytes) : device_(device), bytes_(bytes) {}
  absl::Status Init();

  const CudaDevice& device_;
  int64_t bytes_;
  DeviceMemory from_;
  DeviceMemory to_;
  Stream stream_;
  Event start_;
  Event end_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_CUDAMEMORYMETER_H_
