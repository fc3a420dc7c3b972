#include "runtime/cuda/CudaMemoryMeter.h"

#include <algorithm>

#include "ir/base/Status.h"

namespace dejavu::cuda {
namespace {

// Far more than the largest cache, so that the copies come from memory, and long enough to drown their start.
constexpr int64_t kMaxBytes = int64_t{1} << 30;
constexpr int64_t kMinBytes = int64_t{1} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<MemoryMeter>> CudaMemoryMeter::Create(const CudaDevice& device) {
  ASSIGN_OR_RETURN(const CudaDevice::Memory memory, device.QueryMemory());
  // A model may leave little: two quarters of what is free.
  const int64_t bytes = std::clamp(memory.free / 4 / 256 * 256, kMinBytes, kMaxBytes);
  std::unique_ptr<CudaMemoryMeter> meter(new CudaMemoryMeter(device, bytes));
  RETURN_IF_ERROR(meter->Init());
  return meter;
}

absl::Status CudaMemoryMeter::Init() {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  ASSIGN_OR_RETURN(from_, AllocateDevice(device_, bytes_, "measuring its speed"));
  ASSIGN_OR_RETURN(to_, AllocateDevice(device_, bytes_, "measuring its speed"));
  ASSIGN_OR_RETURN(stream_, NewStream(device_));
  ASSIGN_OR_RETURN(start_, NewEvent(device_, /*timing=*/true));
  ASSIGN_OR_RETURN(end_, NewEvent(device_, /*timing=*/true));
  const Driver& driver = device_.driver();
  RETURN_IF_ERROR(
      driver.MemsetD8Async(from_.get(), static_cast<unsigned char>(1), static_cast<size_t>(bytes_), stream_.get()));
  RETURN_IF_ERROR(
      driver.MemsetD8Async(to_.get(), static_cast<unsigned char>(0), static_cast<size_t>(bytes_), stream_.get()));
  return driver.StreamSynchronize(stream_.get());
}

absl::StatusOr<double> CudaMemoryMeter::Copy() {
  const CudaDevice::Scope scope(device_);
  RETURN_IF_ERROR(scope.status());
  const Driver& driver = device_.driver();
  RETURN_IF_ERROR(driver.EventRecord(start_.get(), stream_.get()));
  RETURN_IF_ERROR(driver.MemcpyDtoDAsync(to_.get(), from_.get(), static_cast<size_t>(bytes_), stream_.get()));
  RETURN_IF_ERROR(driver.EventRecord(end_.get(), stream_.get()));
  RETURN_IF_ERROR(driver.StreamSynchronize(stream_.get()));
  float milliseconds = 0;
  RETURN_IF_ERROR(driver.EventElapsedTime(&milliseconds, start_.get(), end_.get()));
  return 2.0 * static_cast<double>(bytes_) / 1e6 / std::max(static_cast<double>(milliseconds), 1e-6);
}

}  // namespace dejavu::cuda
