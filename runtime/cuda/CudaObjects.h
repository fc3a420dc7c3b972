// The driver's objects with owners: streams, events, graphs, modules, and memory on the device and on the host.
#ifndef DEJAVU_RUNTIME_CUDA_CUDAOBJECTS_H_
#define DEJAVU_RUNTIME_CUDA_CUDAOBJECTS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "runtime/cuda/CudaDevice.h"

namespace dejavu::cuda {

/// A handle of the driver, destroyed with its owner. The device must outlive it. What destruction reports is dropped:
/// after an error of the device every call fails, and there is nothing left to save.
template <typename Handle, typename Destroy>
class Owned {
 public:
  Owned() = default;
  Owned(const CudaDevice& device, Handle handle) : device_(&device), handle_(handle) {}
  Owned(Owned&& other) noexcept
      : device_(std::exchange(other.device_, nullptr)), handle_(std::exchange(other.handle_, Handle())) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (device_ != nullptr) {
      const CudaDevice::Scope scope(*device_);
      Destroy()(device_->driver(), handle_);
    }
  }

  [[nodiscard]] Handle get() const { return handle_; }

 private:
  const CudaDevice* device_ = nullptr;
  Handle handle_ = Handle();
};

struct DestroyStream {
  void operator()(const Driver& driver, StreamHandle handle) const { driver.StreamDestroy(handle).IgnoreError(); }
};
struct DestroyEvent {
  void operator()(const Driver& driver, EventHandle handle) const { driver.EventDestroy(handle).IgnoreError(); }
};
struct DestroyModule {
  void operator()(const Driver& driver, ModuleHandle handle) const { driver.ModuleUnload(handle).IgnoreError(); }
};
struct DestroyGraph {
  void operator()(const Driver& driver, GraphHandle handle) const { driver.GraphDestroy(handle).IgnoreError(); }
};
struct DestroyGraphExec {
  void operator()(const Driver& driver, GraphExecHandle handle) const { driver.GraphExecDestroy(handle).IgnoreError(); }
};
struct FreeDevice {
  void operator()(const Driver& driver, DevicePointer handle) const { driver.MemFree(handle).IgnoreError(); }
};
struct FreePinned {
  void operator()(const Driver& driver, void* handle) const { driver.MemFreeHost(handle).IgnoreError(); }
};

using Stream = Owned<StreamHandle, DestroyStream>;
using Event = Owned<EventHandle, DestroyEvent>;
using Module = Owned<ModuleHandle, DestroyModule>;
using Graph = Owned<GraphHandle, DestroyGraph>;
using GraphExec = Owned<GraphExecHandle, DestroyGraphExec>;
/// Memory on the device; the address is a multiple of 256.
using DeviceMemory = Owned<DevicePointer, FreeDevice>;
/// Memory of the host that the device copies from and to by itself.
using PinnedMemory = Owned<void*, FreePinned>;

// The context of `device` must be the current one of the calling thread.

/// Does not wait for work on the legacy default stream, whose users we don't know.
[[nodiscard]] absl::StatusOr<Stream> NewStream(const CudaDevice& device);
/// `timing`: for EventElapsedTime().
[[nodiscard]] absl::StatusOr<Event> NewEvent(const CudaDevice& device, bool timing);
/// `purpose` stands in the error that full memory gives: "the KV caches".
[[nodiscard]] absl::StatusOr<DeviceMemory> AllocateDevice(const CudaDevice& device, int64_t bytes,
                                                          const std::string& purpose);
[[nodiscard]] absl::StatusOr<PinnedMemory> AllocatePinned(const CudaDevice& device, int64_t bytes);

/// "12.34 GB", "56.7 MB" or "8.9 kB".
[[nodiscard]] std::string BytesText(int64_t bytes);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_CUDAOBJECTS_H_
