// What a kind of device implements to run models: its side of a Model, of a Session, and of a benchmark.
#ifndef DEJAVU_RUNTIME_DEVICE_DEVICE_H_
#define DEJAVU_RUNTIME_DEVICE_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/artifact/Plan.h"

namespace dejavu {

/// What one launch of the last observed call did.
struct LaunchRecord {
  int64_t active = 0;       ///< Entries of the list in Launch::per_active.
  int64_t positives = 0;    ///< Non-zero values of Launch::per_positive.
  int64_t nanoseconds = 0;  ///< From the end of what comes before to its own end.
};

/// The first `bytes` of an operand, in the arena, of a launch of "decode".
struct WatchedOperand {
  size_t launch = 0;
  size_t arg = 0;
  size_t bytes = 0;
};

/// When a launch of a traced token ran, in nanoseconds from the token's start.
struct LaunchSpan {
  int64_t begin = 0;
  int64_t end = 0;
};

/// Sees a choice, -1 where there is none; returns whether to go on with it.
using OnChoice = std::function<bool(int32_t choice)>;

/// The number of the largest logit, the first of equal ones; -1 where one is infinite or NaN, or none is finite. As the
/// kernel argmax does it.
[[nodiscard]] int32_t LikeliestToken(std::span<const float> logits);

/// The caches and buffers of one sequence on a device. For one thread at a time. Callers check tokens and positions.
class DeviceSession {
 public:
  DeviceSession() = default;
  DeviceSession(const DeviceSession&) = delete;
  DeviceSession& operator=(const DeviceSession&) = delete;
  virtual ~DeviceSession() = default;

  /// Takes `tokens`, at most Plan::max_tokens of them, through the plan's "prefill", which it must have; `past` tokens
  /// are in the caches. May return early, as Decode().
  [[nodiscard]] virtual absl::Status Prefill(std::span<const int32_t> tokens, int64_t past) = 0;
  /// Takes one token through the plan's "decode". `observe` fills records(). May return while the device still works;
  /// then the next call says what went wrong.
  [[nodiscard]] virtual absl::Status Decode(int32_t token, int64_t past, bool observe) = 0;
  /// The logits that the last call left, f32<vocab>, once the device has finished; valid until the next call.
  [[nodiscard]] virtual absl::StatusOr<std::span<const float>> Logits() = 0;
  /// Copies the first `to.size()` bytes of an arena buffer as the last call left it, once the device has finished.
  [[nodiscard]] virtual absl::Status Read(const BufferRef& from, std::span<std::byte> to) = 0;
  /// The likeliest token after the one that the last call, a Decode(), took; -1 where there is none.
  [[nodiscard]] virtual absl::StatusOr<int32_t> Choice();
  /// Decodes `token` and then, `count` - 1 times, the choice after the token before. `on_choice` sees the choice after
  /// each; when it returns false, that was the last. What is in the caches for later tokens is unknown then.
  [[nodiscard]] virtual absl::Status DecodeGreedily(int32_t token, int64_t past, int64_t count,
                                                    const OnChoice& on_choice);
  /// Decodes `token` like Decode(), with launches beside each other as they are there, and says when each ran; the
  /// clocks add some microseconds to each.
  [[nodiscard]] virtual absl::StatusOr<std::vector<LaunchSpan>> Trace(int32_t token, int64_t past) = 0;
  /// From the next observed call on, keeps what these operands hold when their launch has them.
  virtual void Watch(std::vector<WatchedOperand> operands) = 0;
  /// Whether observed calls fill LaunchRecord::nanoseconds, which devices whose clocks cost time may leave out.
  virtual void KeepTimes(bool /*keep*/) {}
  /// What operand number `number` of Watch() held in the last observed call; valid until the next.
  [[nodiscard]] virtual std::span<const std::byte> Watched(size_t number) const = 0;
  /// One for each launch of "decode", from the last observed call.
  [[nodiscard]] virtual const std::vector<LaunchRecord>& records() const = 0;
};

/// The caches and buffers of several sequences that are decoded together. For one thread at a time. Callers check
/// sequences, tokens and positions.
class DeviceBatch {
 public:
  DeviceBatch() = default;
  DeviceBatch(const DeviceBatch&) = delete;
  DeviceBatch& operator=(const DeviceBatch&) = delete;
  virtual ~DeviceBatch() = default;

  /// Takes `tokens`, at most Plan::max_tokens of them, of one sequence, which has `past` tokens in its caches, through
  /// the plan's "prefill", or one by one through "decode".
  [[nodiscard]] virtual absl::Status Prefill(int64_t sequence, std::span<const int32_t> tokens, int64_t past) = 0;
  /// Takes a token of each sequence through the plan's function for so many. `observe` fills records(). May return
  /// while the device still works, as Prefill(); then the next call says what went wrong.
  [[nodiscard]] virtual absl::Status Decode(std::span<const int32_t> tokens, std::span<const int64_t> past,
                                            bool observe) = 0;
  /// The logits that the last call left, once the device has finished: f32<vocab> after Prefill(),
  /// f32<sequences, vocab> after Decode(). Valid until the next call.
  [[nodiscard]] virtual absl::StatusOr<std::span<const float>> Logits() = 0;
  /// The likeliest token of each sequence after those that the last call, a Decode(), took; -1 where there is none.
  [[nodiscard]] virtual absl::StatusOr<std::span<const int32_t>> Choices() = 0;
  /// One for each launch of the plan's function, from the last observed Decode().
  [[nodiscard]] virtual const std::vector<LaunchRecord>& records() const = 0;
};

/// Measures how fast the device's memory is: the yardstick beside each measured speed. GB are 10^9 bytes.
class MemoryMeter {
 public:
  MemoryMeter() = default;
  MemoryMeter(const MemoryMeter&) = delete;
  MemoryMeter& operator=(const MemoryMeter&) = delete;
  virtual ~MemoryMeter() = default;

  /// One copy from one buffer to another, in GB/s of bytes read and written.
  [[nodiscard]] virtual absl::StatusOr<double> Copy() = 0;
  /// One pass of a sum over one buffer, in GB/s of bytes read; nothing where the device doesn't measure that.
  [[nodiscard]] virtual absl::StatusOr<std::optional<double>> Read() = 0;
};

/// A model's weights and code on a device. Immutable; any number of threads and sessions may share it.
class DeviceModel {
 public:
  DeviceModel() = default;
  DeviceModel(const DeviceModel&) = delete;
  DeviceModel& operator=(const DeviceModel&) = delete;
  virtual ~DeviceModel() = default;

  /// The instruction set of the code in use, such as "x86-64-v4" or "sm_90".
  [[nodiscard]] virtual const std::string& isa() const = 0;
  /// The device for people, such as "AMD EPYC 9555, 2 threads" or "NVIDIA H200".
  [[nodiscard]] virtual std::string DeviceName(int threads) const = 0;
  /// Whether sessions run a plan's "prefill". Where not, prompts are decoded token by token.
  [[nodiscard]] virtual bool CanPrefill() const { return true; }
  /// `plan` is the one that the model was loaded with; model and plan must outlive the session. `threads` are those of
  /// the CPU, at least 1.
  [[nodiscard]] virtual absl::StatusOr<std::unique_ptr<DeviceSession>> NewSession(const Plan& plan,
                                                                                  int threads) const = 0;
  /// The same for `sequences` that decode together; the plan has a function for so many.
  [[nodiscard]] virtual absl::StatusOr<std::unique_ptr<DeviceBatch>> NewBatch(const Plan& plan, int64_t sequences,
                                                                              int threads) const = 0;
  /// `bytes` are what a token reads. The model must outlive the meter.
  [[nodiscard]] virtual absl::StatusOr<std::unique_ptr<MemoryMeter>> NewMemoryMeter(size_t bytes,
                                                                                    int threads) const = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_DEVICE_DEVICE_H_
