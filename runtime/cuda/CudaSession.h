// One sequence on a GPU.
#ifndef DEJAVU_RUNTIME_CUDA_CUDASESSION_H_
#define DEJAVU_RUNTIME_CUDA_CUDASESSION_H_

#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cuda/CudaModel.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/cuda/DecodeGraph.h"
#include "runtime/cuda/GreedyLoop.h"
#include "runtime/cuda/SessionMemory.h"
#include "runtime/cuda/TracedGraph.h"
#include "runtime/cuda/WorkStream.h"
#include "runtime/device/Device.h"

namespace dejavu::cuda {

/// One allocation on the device, one of pinned memory, a stream, and a graph that decodes a token. Prompts are launched
/// kernel by kernel.
class CudaSession final : public DeviceSession {
 public:
  /// Model and plan must outlive the session.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<DeviceSession>> Create(const CudaModel& model, const Plan& plan);
  ~CudaSession() override;

  [[nodiscard]] absl::Status Prefill(std::span<const int32_t> tokens, int64_t past) override;
  [[nodiscard]] absl::Status Decode(int32_t token, int64_t past, bool observe) override;
  [[nodiscard]] absl::StatusOr<std::span<const float>> Logits() override;
  [[nodiscard]] absl::Status Read(const BufferRef& from, std::span<std::byte> to) override;
  [[nodiscard]] absl::StatusOr<int32_t> Choice() override;
  [[nodiscard]] absl::Status DecodeGreedily(int32_t token, int64_t past, int64_t count,
                                            const OnChoice& on_choice) override;
  [[nodiscard]] absl::StatusOr<std::vector<LaunchSpan>> Trace(int32_t token, int64_t past) override;
  void Watch(std::vector<WatchedOperand> operands) override;
  void KeepTimes(bool keep) override;
  [[nodiscard]] std::span<const std::byte> Watched(size_t number) const override { return observed_->Watched(number); }
  [[nodiscard]] const std::vector<LaunchRecord>& records() const override { return records_; }

 private:
  CudaSession(const CudaModel& model, const Plan& plan)
      : model_(model),
        plan_(plan),
        device_(model.device()),
        layout_(LayOutSession(plan, model.CanPrefill())),
        stream_(device_) {}
  absl::Status Init();
  [[nodiscard]] std::vector<BoundLaunch> BindLaunches(const std::string& function) const;
  /// The nodes of the graph that decodes.
  [[nodiscard]] std::vector<BoundLaunch> BindNodes() const;
  [[nodiscard]] std::vector<LaunchEdge> Edges(bool allow_early) const;
  void BindCall(int64_t stream, const LaunchGrid& grid, BoundLaunch& bound) const;
  absl::Status MakeGreedyLoop();
  [[nodiscard]] SessionMemory Memory() const { return {model_, plan_, layout_, memory_.get()}; }
  [[nodiscard]] Input ControlInput() const;

  const CudaModel& model_;
  const Plan& plan_;
  const CudaDevice& device_;
  SessionLayout layout_;
  DeviceMemory memory_;
  PinnedMemory pinned_;
  Control* control_ = nullptr;  // this and what follows are in pinned_; a prompt's other tokens come after the first
  int32_t* choice_ = nullptr;   // of Choice()
  float* logits_ = nullptr;
  int32_t* choices_ = nullptr;  // of the greedy loop, by position
  WorkStream stream_;
  std::vector<BoundLaunch> launches_;  // one by one, as they are observed
  std::optional<PlanGraph> nodes_;     // as they are decoded
  GraphExec graph_;
  std::vector<BoundLaunch> prefill_;  // empty where the model can't
  std::unique_ptr<CudaGemm> gemm_;    // of prefill
  BufferRef last_logits_;             // that the last call left
  // Made when first asked for.
  std::unique_ptr<ObservedGraph> observed_;
  std::vector<WatchedOperand> watched_;  // by observed_
  bool times_ = true;                    // whether observed_ has them
  std::unique_ptr<GreedyLoop> greedy_;
  std::unique_ptr<TracedGraph> traced_;
  std::vector<LaunchRecord> records_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_CUDASESSION_H_
