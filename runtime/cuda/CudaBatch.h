// Several sequences on a GPU that are decoded together.
#ifndef DEJAVU_RUNTIME_CUDA_CUDABATCH_H_
#define DEJAVU_RUNTIME_CUDA_CUDABATCH_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cuda/CudaModel.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/cuda/DecodeGraph.h"
#include "runtime/cuda/SessionMemory.h"
#include "runtime/cuda/WorkStream.h"
#include "runtime/device/Device.h"

namespace dejavu::cuda {

/// As CudaSession: one allocation on the device, one of pinned memory, a stream, and a graph that decodes a token of
/// each sequence. Prompts are launched kernel by kernel, one sequence's at a time.
class CudaBatch final : public DeviceBatch {
 public:
  /// Model and plan must outlive it.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<DeviceBatch>> Create(const CudaModel& model, const Plan& plan,
                                                                           int64_t sequences);
  ~CudaBatch() override;

  [[nodiscard]] absl::Status Prefill(int64_t sequence, std::span<const int32_t> tokens, int64_t past) override;
  [[nodiscard]] absl::Status Decode(std::span<const int32_t> tokens, std::span<const int64_t> past,
                                    bool observe) override;
  [[nodiscard]] absl::StatusOr<std::span<const float>> Logits() override;
  [[nodiscard]] absl::StatusOr<std::span<const int32_t>> Choices() override;
  [[nodiscard]] const std::vector<LaunchRecord>& records() const override { return records_; }

 private:
  CudaBatch(const CudaModel& model, const Plan& plan, int64_t sequences);
  absl::Status Init();
  /// Launches of `function`; one for a single sequence gets the caches of `sequence`.
  [[nodiscard]] std::vector<BoundLaunch> BindLaunches(const PlanFunction& function, int64_t sequence) const;
  [[nodiscard]] SessionMemory Memory() const { return {model_, plan_, layout_, memory_.get()}; }
  /// What the host writes before a call of `numbers` dims and `tokens` ids; it ends where the arena's tokens do.
  [[nodiscard]] Input ControlInput(int64_t numbers, int64_t tokens) const;
  absl::Status RunPrompt(int64_t sequence, std::span<const int32_t> tokens, int64_t past);

  const CudaModel& model_;
  const Plan& plan_;
  const PlanFunction& function_;  // that decodes
  const int64_t sequences_;
  const CudaDevice& device_;
  SessionLayout layout_;
  DeviceMemory memory_;
  PinnedMemory pinned_;
  std::byte* control_ = nullptr;  // this and what follows are in pinned_
  int32_t* choices_ = nullptr;
  float* logits_ = nullptr;
  WorkStream stream_;
  std::vector<BoundLaunch> launches_;
  GraphExec graph_;
  std::vector<std::vector<BoundLaunch>> prompts_;  // by sequence: "prefill", or "decode" where the model can't
  std::unique_ptr<CudaGemm> gemm_;                 // of prefill
  std::unique_ptr<ObservedGraph> observed_;        // made when first asked for
  BufferRef last_logits_;                          // that the last call left
  size_t last_rows_ = 1;
  std::vector<LaunchRecord> records_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_CUDABATCH_H_
