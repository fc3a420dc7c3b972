// One GPU: what it can do, and its context.
#ifndef DEJAVU_RUNTIME_CUDA_CUDADEVICE_H_
#define DEJAVU_RUNTIME_CUDA_CUDADEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cuda/Driver.h"

namespace dejavu::cuda {

/// Holds the device's primary context, which all of the process share, for its lifetime. Threads may share it.
class CudaDevice {
 public:
  /// Device `number`; one that isn't there is a user error that says which are.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<const CudaDevice>> Open(const Driver& driver, int number);

  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;
  ~CudaDevice();

  [[nodiscard]] const Driver& driver() const { return driver_; }
  [[nodiscard]] ContextHandle context() const { return context_; }
  /// "NVIDIA H200".
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] int multiprocessors() const { return multiprocessors_; }
  /// Bytes of shared memory that a block may ask for.
  [[nodiscard]] int64_t max_shared_bytes() const { return max_shared_bytes_; }
  /// Whether a kernel may start before the one ahead of it ends.
  [[nodiscard]] bool has_early_launch() const { return major_ >= 9; }
  /// The architectures whose code it runs, best first: all of its major version up to its own, such as sm_89, sm_86,
  /// sm_80.
  [[nodiscard]] std::vector<std::string> Isas() const;

  struct Memory {
    int64_t free = 0;
    int64_t total = 0;
  };
  [[nodiscard]] absl::StatusOr<Memory> QueryMemory() const;

  /// Makes the context the calling thread's current one for a scope, as nearly every call of the driver needs. The
  /// driver's own stack of contexts keeps what the thread had before.
  class Scope {
   public:
    explicit Scope(const CudaDevice& device);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope();
    [[nodiscard]] const absl::Status& status() const { return status_; }

   private:
    const Driver& driver_;
    absl::Status status_;
  };

 private:
  explicit CudaDevice(const Driver& driver) : driver_(driver) {}
  absl::Status Init(int number);

  const Driver& driver_;
  DeviceNumber device_ = 0;
  ContextHandle context_ = nullptr;
  std::string name_;
  int32_t multiprocessors_ = 0;
  int32_t major_ = 0;
  int32_t minor_ = 0;
  int32_t max_shared_bytes_ = 0;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_CUDADEVICE_H_
