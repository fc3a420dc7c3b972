// Several sequences on the CPU that are decoded together.
#ifndef DEJAVU_RUNTIME_CPU_CPUBATCH_H_
#define DEJAVU_RUNTIME_CPU_CPUBATCH_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/cpu/Executor.h"
#include "runtime/cpu/ThreadTeam.h"
#include "runtime/device/Device.h"

namespace dejavu {

class CpuBatch final : public DeviceBatch {
 public:
  /// Model and plan must outlive it.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<DeviceBatch>> Create(const CpuModel& model, const Plan& plan,
                                                                           int64_t sequences, int threads);

  [[nodiscard]] absl::Status Prefill(int64_t sequence, std::span<const int32_t> tokens, int64_t past) override;
  [[nodiscard]] absl::Status Decode(std::span<const int32_t> tokens, std::span<const int64_t> past,
                                    bool observe) override;
  [[nodiscard]] absl::StatusOr<std::span<const float>> Logits() override { return logits_; }
  [[nodiscard]] absl::StatusOr<std::span<const int32_t>> Choices() override { return choices_; }
  [[nodiscard]] const std::vector<LaunchRecord>& records() const override { return decode_->records(); }

 private:
  CpuBatch(CpuBuffers buffers, int threads, int64_t vocab, int64_t sequences)
      : buffers_(std::move(buffers)),
        team_(threads),
        vocab_(static_cast<size_t>(vocab)),
        choices_(static_cast<size_t>(sequences)) {}
  absl::Status Bind(const CpuModel& model, const Plan& plan);

  CpuBuffers buffers_;
  ThreadTeam team_;
  size_t vocab_;
  std::vector<int32_t> choices_;
  std::unique_ptr<Executor> decode_;
  // By sequence: "prefill", or "decode" where the plan has none.
  std::vector<std::unique_ptr<Executor>> prompts_;
  bool has_prefill_ = false;
  std::span<const float> logits_;  // where the last call left them
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_CPUBATCH_H_
