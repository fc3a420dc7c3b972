// One sequence on the CPU.
#ifndef DEJAVU_RUNTIME_CPU_CPUSESSION_H_
#define DEJAVU_RUNTIME_CPU_CPUSESSION_H_

#include <memory>

#include "absl/status/statusor.h"
#include "runtime/cpu/Executor.h"
#include "runtime/cpu/ThreadTeam.h"
#include "runtime/device/Device.h"

namespace dejavu {

class CpuSession final : public DeviceSession {
 public:
  /// Model and plan must outlive the session.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<DeviceSession>> Create(const CpuModel& model, const Plan& plan,
                                                                             int threads);

  [[nodiscard]] absl::Status Prefill(std::span<const int32_t> tokens, int64_t past) override;
  [[nodiscard]] absl::Status Decode(int32_t token, int64_t past, bool observe) override;
  [[nodiscard]] absl::StatusOr<std::span<const float>> Logits() override { return logits_; }
  [[nodiscard]] absl::Status Read(const BufferRef& from, std::span<std::byte> to) override;
  [[nodiscard]] absl::StatusOr<int32_t> Choice() override;
  [[nodiscard]] absl::StatusOr<std::vector<LaunchSpan>> Trace(int32_t token, int64_t past) override;
  void Watch(std::vector<WatchedOperand> operands) override { decode_->Watch(operands); }
  [[nodiscard]] std::span<const std::byte> Watched(size_t number) const override { return decode_->Watched(number); }
  [[nodiscard]] const std::vector<LaunchRecord>& records() const override { return decode_->records(); }

 private:
  CpuSession(CpuBuffers buffers, int threads, int64_t vocab)
      : buffers_(std::move(buffers)), team_(threads), vocab_(static_cast<size_t>(vocab)) {}
  absl::Status Bind(const CpuModel& model, const Plan& plan);

  CpuBuffers buffers_;
  ThreadTeam team_;
  size_t vocab_;
  std::unique_ptr<Executor> decode_;
  std::unique_ptr<Executor> prefill_;  // null where the plan has none
  std::span<const float> logits_;      // where the last call left them
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_CPUSESSION_H_
