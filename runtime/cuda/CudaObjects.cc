#include "runtime/cuda/CudaObjects.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "ir/base/Status.h"

namespace dejavu::cuda {
namespace {

absl::Status MemoryError(const CudaDevice& device, int64_t bytes, const std::string& purpose) {
  const absl::StatusOr<CudaDevice::Memory> memory = device.QueryMemory();
  return absl::ResourceExhaustedError(absl::StrCat(
      "not enough memory on ", device.name(), " for ", purpose, ": ", BytesText(bytes), " are needed",
      memory.ok() ? absl::StrCat(", ", BytesText(memory->free), " of ", BytesText(memory->total), " are free")
                  : std::string()));
}

}  // namespace

absl::StatusOr<Stream> NewStream(const CudaDevice& device) {
  StreamHandle handle = nullptr;
  RETURN_IF_ERROR(device.driver().StreamCreate(&handle, kStreamNonBlocking));
  return Stream(device, handle);
}

absl::StatusOr<Event> NewEvent(const CudaDevice& device, bool timing) {
  EventHandle handle = nullptr;
  RETURN_IF_ERROR(device.driver().EventCreate(&handle, timing ? kEventDefault : kEventDisableTiming));
  return Event(device, handle);
}

absl::StatusOr<DeviceMemory> AllocateDevice(const CudaDevice& device, int64_t bytes, const std::string& purpose) {
  DevicePointer address = 0;
  const absl::Status status = device.driver().MemAlloc(&address, static_cast<size_t>(std::max<int64_t>(bytes, 1)));
  if (absl::IsResourceExhausted(status)) {
    return MemoryError(device, bytes, purpose);
  }
  RETURN_IF_ERROR(status);
  return DeviceMemory(device, address);
}

absl::StatusOr<PinnedMemory> AllocatePinned(const CudaDevice& device, int64_t bytes) {
  void* address = nullptr;
  const absl::Status status =
      device.driver().MemHostAlloc(&address, static_cast<size_t>(std::max<int64_t>(bytes, 1)), kHostAllocPortable);
  if (absl::IsResourceExhausted(status)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("this machine has no ", BytesText(bytes), " of memory for copies to the GPU"));
  }
  RETURN_IF_ERROR(status);
  return PinnedMemory(device, address);
}

std::string BytesText(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (value >= 1e9) {
    return absl::StrFormat("%.2f GB", value / 1e9);
  }
  return value >= 1e6 ? absl::StrFormat("%.1f MB", value / 1e6) : absl::StrFormat("%.1f kB", value / 1e3);
}

}  // namespace dejavu::cuda
