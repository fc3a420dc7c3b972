// The stream that a session's work runs on.
#ifndef DEJAVU_RUNTIME_CUDA_WORKSTREAM_H_
#define DEJAVU_RUNTIME_CUDA_WORKSTREAM_H_

#include <cstddef>

#include "absl/status/status.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/cuda/CudaObjects.h"

namespace dejavu::cuda {

/// A stream, and whether it may still be at work. Not for several threads at once; where nothing else is said the
/// caller has made the device current.
class WorkStream {
 public:
  /// `device` must outlive it.
  explicit WorkStream(const CudaDevice& device) : device_(device) {}

  /// Before anything else.
  [[nodiscard]] absl::Status Open();
  /// The stream.
  [[nodiscard]] StreamHandle get() const { return stream_.get(); }
  /// The same for who starts work on it.
  [[nodiscard]] StreamHandle Start() {
    running_ = true;
    return stream_.get();
  }
  /// For who has waited by other means: whether some of the work may still be going on.
  void SetRunning(bool running) { running_ = running; }

  /// Waits for all work; its errors.
  [[nodiscard]] absl::Status Synchronize();
  /// Copies `bytes` that the work so far leaves at `from` to pinned memory, and waits.
  [[nodiscard]] absl::Status Fetch(DevicePointer from, void* to, size_t bytes);
  /// Waits, whatever the device has become: for destructors, as nothing may run on memory that is about to go. Makes
  /// the device current by itself.
  void Settle();

 private:
  const CudaDevice& device_;
  Stream stream_;
  bool running_ = false;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_WORKSTREAM_H_
