// A model on the CPU: weights mapped from the artifact, kernels loaded into this process.
#ifndef DEJAVU_RUNTIME_CPU_CPUMODEL_H_
#define DEJAVU_RUNTIME_CPU_CPUMODEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "runtime/artifact/ArtifactReader.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cpu/KernelLibrary.h"
#include "runtime/device/Device.h"

namespace dejavu {

class CpuModel final : public DeviceModel {
 public:
  /// Maps the weights and loads the code for this processor. Errors are the user's and name the file.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<DeviceModel>> Load(const ArtifactReader& artifact,
                                                                         const Plan& plan,
                                                                         const WeightOptions& options);

  [[nodiscard]] const std::string& isa() const override { return isa_; }
  [[nodiscard]] std::string DeviceName(int threads) const override;
  [[nodiscard]] absl::StatusOr<std::unique_ptr<DeviceSession>> NewSession(const Plan& plan, int threads) const override;
  [[nodiscard]] absl::StatusOr<std::unique_ptr<DeviceBatch>> NewBatch(const Plan& plan, int64_t sequences,
                                                                      int threads) const override;
  [[nodiscard]] absl::StatusOr<std::unique_ptr<MemoryMeter>> NewMemoryMeter(size_t bytes, int threads) const override;

  [[nodiscard]] const Weights& weights() const { return weights_; }
  [[nodiscard]] const KernelLibrary& kernels() const { return kernels_; }
  [[nodiscard]] int64_t vocab() const { return vocab_; }

 private:
  CpuModel(Weights weights, KernelLibrary kernels, std::string isa, int64_t vocab)
      : weights_(std::move(weights)), kernels_(std::move(kernels)), isa_(std::move(isa)), vocab_(vocab) {}

  Weights weights_;
  KernelLibrary kernels_;
  std::string isa_;
  int64_t vocab_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_CPUMODEL_H_
