// One sequence of tokens going through a model.
#ifndef DEJAVU_RUNTIME_ENGINE_SESSION_H_
#define DEJAVU_RUNTIME_ENGINE_SESSION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/device/Device.h"
#include "runtime/engine/Model.h"
#include "runtime/engine/Statistics.h"

namespace dejavu {

struct SessionOptions {
  int threads = 0;          ///< 0 = every physical core that this process may use.
  bool statistics = false;  ///< Whether Decode() keeps statistics; costs a few microseconds per launch.
  bool times = true;        ///< Whether they need the launches' times, which cost most of that on a GPU.
};

/// What SessionOptions::threads stand for; a usage error where they can't be.
[[nodiscard]] absl::StatusOr<int> ChooseThreads(int threads);

/// A user error for ids outside the vocabulary and for more tokens than positions after `position`.
[[nodiscard]] absl::Status CheckTokens(const ModelInfo& model, std::span<const int32_t> tokens, int64_t position);

/// Holds the KV cache and the buffers of one sequence; the model is shared. For one thread at a time; sessions of
/// different threads are independent. Calls with wrong arguments fail and leave the session as it was; after a failure
/// of the device, every later call returns that failure.
class Session {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Session>> Create(std::shared_ptr<const Model> model,
                                                                       const SessionOptions& options);

  /// Appends `tokens` by the prefill kernels and returns the logits that follow the last one: f32<vocab>, valid until
  /// the next call. They go one by one through the decode kernels where there are no others, and, if heads get their
  /// keys and values when they wake, behind a token that did: prompts expect those of all heads. No tokens, ids outside
  /// the vocabulary and more tokens than positions left are user errors.
  [[nodiscard]] absl::StatusOr<std::span<const float>> Prefill(std::span<const int32_t> tokens);
  /// What the last call, a Prefill() of `tokens` tokens and at most Plan::max_tokens, left in the tap `name` of the
  /// plan: f32<tokens, W>, row by row. A user error where the plan has no such tap or the device no prefill.
  [[nodiscard]] absl::StatusOr<std::vector<float>> ReadTap(const std::string& name, int64_t tokens);
  /// Appends one token by the decode kernels and returns the logits that follow it; as Prefill() otherwise.
  [[nodiscard]] absl::StatusOr<std::span<const float>> Decode(int32_t token);
  /// As Decode(), but leaves the logits on the device, and may return before it has finished.
  [[nodiscard]] absl::Status Advance(int32_t token);
  /// Appends `token`, then the likeliest token after it and so on, `count` tokens in all; fewer if `on_choice` says so,
  /// which sees what is chosen after each token, and returns whether that is to be appended. On a GPU nothing but the
  /// choices comes back, and while the host looks at one the device works on the next. Errors as Prefill(), and logits
  /// that give no choice.
  [[nodiscard]] absl::Status DecodeGreedily(int32_t token, int64_t count, const OnChoice& on_choice);
  /// Appends `token` and says when each launch of the plan's "decode" ran; as Advance() otherwise, without statistics.
  [[nodiscard]] absl::StatusOr<std::vector<LaunchSpan>> Trace(int32_t token);
  /// Keeps what these operands of launches of the plan's "decode" hold, from the next token on that Decode() or
  /// Advance() takes with statistics. They must lie in the arena.
  [[nodiscard]] absl::Status Watch(std::vector<WatchedOperand> operands);
  /// What operand number `number` of Watch() held for the last of these tokens; valid until the next.
  [[nodiscard]] std::span<const std::byte> Watched(size_t number) const { return device_->Watched(number); }
  /// Forgets all tokens, not the statistics. What they left in the caches stays, as no kernel reads past position().
  void Reset() {
    position_ = 0;
    all_filled_ = true;
  }

  /// Tokens so far.
  [[nodiscard]] int64_t position() const { return position_; }
  /// Of the CPU.
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] const Model& model() const { return *model_; }
  /// Of the tokens that all but Prefill() took, if SessionOptions::statistics asked for them.
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  void ClearStatistics() { statistics_.Clear(); }
  /// Switches statistics on or off from the next token on.
  void CollectStatistics(bool on) { observe_ = on; }

 private:
  Session(std::shared_ptr<const Model> model, const SessionOptions& options, int threads,
          std::unique_ptr<DeviceSession> device);
  absl::Status CheckTokens(std::span<const int32_t> tokens) const;
  absl::Status CheckLength(int64_t count) const;
  absl::Status ObserveGreedily(int32_t token, int64_t count, const OnChoice& on_choice);
  absl::Status Fail(absl::Status status);

  std::shared_ptr<const Model> model_;
  bool observe_;
  int threads_;
  int64_t position_ = 0;
  bool lazy_;               // whether heads that sleep have no keys and values
  bool all_filled_ = true;  // whether all heads have those of all tokens so far
  Statistics statistics_;
  absl::Status failure_;  // of the device
  std::unique_ptr<DeviceSession> device_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ENGINE_SESSION_H_
