#include "runtime/cuda/WorkStream.h"

#include "ir/base/Status.h"

namespace dejavu::cuda {

absl::Status WorkStream::Open() {
  ASSIGN_OR_RETURN(stream_, NewStream(device_));
  return absl::OkStatus();
}

absl::Status WorkStream::Synchronize() {
  if (!running_) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(device_.driver().StreamSynchronize(stream_.get()));
  running_ = false;
  return absl::OkStatus();
}

absl::Status WorkStream::Fetch(DevicePointer from, void* to, size_t bytes) {
  RETURN_IF_ERROR(device_.driver().MemcpyDtoHAsync(to, from, bytes, Start()));
  return Synchronize();
}

void WorkStream::Settle() {
  const CudaDevice::Scope scope(device_);
  if (scope.status().ok()) {
    Synchronize().IgnoreError();
  }
}

}  // namespace dejavu::cuda
