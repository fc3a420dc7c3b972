// A model on a GPU: its weights in the device's memory, its kernels loaded by the driver.
#ifndef DEJAVU_RUNTIME_CUDA_CUDAMODEL_H_
#define DEJAVU_RUNTIME_CUDA_CUDAMODEL_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/artifact/ArtifactReader.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cuda/Blas.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/cuda/CudaGemm.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/cuda/GraphBuilder.h"
#include "runtime/cuda/MemoryLayout.h"
#include "runtime/device/Device.h"

namespace dejavu::cuda {

class CudaModel final : public DeviceModel {
 public:
  /// Loads the code for device `number` and copies the weights to it. No driver, no device, no code for it and too
  /// little memory for model and one session are the user's errors.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<DeviceModel>> Load(const ArtifactReader& artifact,
                                                                         const Plan& plan, const WeightOptions& options,
                                                                         int number);

  [[nodiscard]] const std::string& isa() const override { return isa_; }
  /// Says too if prompts are decoded token by token although the plan has a "prefill".
  [[nodiscard]] std::string DeviceName(int threads) const override;
  /// Whether there is a cuBLASLt.
  [[nodiscard]] bool CanPrefill() const override { return blas_ != nullptr; }
  [[nodiscard]] absl::StatusOr<std::unique_ptr<DeviceSession>> NewSession(const Plan& plan, int threads) const override;
  [[nodiscard]] absl::StatusOr<std::unique_ptr<DeviceBatch>> NewBatch(const Plan& plan, int64_t sequences,
                                                                      int threads) const override;
  [[nodiscard]] absl::StatusOr<std::unique_ptr<MemoryMeter>> NewMemoryMeter(size_t bytes, int threads) const override;

  [[nodiscard]] const CudaDevice& device() const { return *device_; }
  [[nodiscard]] int64_t vocab() const { return vocab_; }
  /// The library of prefill's products, or null.
  [[nodiscard]] const Blas* blas() const { return blas_.get(); }
  [[nodiscard]] const GemmKernels& gemm_kernels() const { return gemm_kernels_; }
  /// The kernel of `launch`, null for a builtin, and its geometry on this device; the params are left empty.
  [[nodiscard]] BoundLaunch Bind(const Launch& launch) const;
  /// The same of a joint that has a grid for isa().
  [[nodiscard]] BoundLaunch Bind(const Joint& joint) const;
  /// The kernel of GreedyLoop; null where plan or code have no choice of tokens.
  [[nodiscard]] FunctionHandle advance() const { return advance_; }
  /// The tensor Plan::weights[index].
  [[nodiscard]] DevicePointer weight(size_t index) const {
    return weights_.get() + static_cast<DevicePointer>(layout_.offsets[index]);
  }

 private:
  CudaModel(std::shared_ptr<const CudaDevice> device, int64_t vocab) : device_(std::move(device)), vocab_(vocab) {}
  /// Opens cuBLASLt if the plan has a "prefill".
  void OpenBlas(const Plan& plan);
  absl::Status LoadKernels(const ArtifactReader& artifact, const Plan& plan);
  absl::Status FindKernels(const Plan& plan, const std::string& path);
  [[nodiscard]] BoundLaunch Bind(const std::string& symbol, const LaunchGrid& grid) const;
  absl::StatusOr<FunctionHandle> FindKernel(const std::string& symbol, const std::string& path) const;
  absl::Status LoadWeights(const ArtifactReader& artifact, const Plan& plan, const WeightOptions& options);
  absl::Status MakeWeights(const ArtifactReader& artifact, const Plan& plan);
  /// Plans and allocates the memory for tensors of these sizes, if a session's fits beside it.
  absl::Status AllocateWeights(const ArtifactReader& artifact, const Plan& plan, const std::vector<int64_t>& sizes);

  std::shared_ptr<const CudaDevice> device_;
  int64_t vocab_;
  std::string isa_;
  Module module_;
  std::unique_ptr<const Blas> blas_;
  std::string no_blas_;                              // why there is none
  std::map<std::string, FunctionHandle> functions_;  // by symbol
  GemmKernels gemm_kernels_;
  FunctionHandle advance_ = nullptr;
  WeightLayout layout_;
  DeviceMemory weights_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_CUDAMODEL_H_
