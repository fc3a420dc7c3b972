// One sequence of tokens going through a model.
#ifndef DEJAVU_RUNTIME_ENGINE_SESSION_H_
#define DEJAVU_RUNTIME_ENGINE_SESSION_H_

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cpu/HostBuffer.h"
#include "runtime/cpu/ThreadTeam.h"
#include "runtime/engine/Executor.h"
#include "runtime/engine/KvCache.h"
#include "runtime/engine/Model.h"
#include "runtime/engine/Statistics.h"

namespace dejavu {

struct SessionOptions {
  int threads = 0;          ///< 0 = every physical core that this process may use.
  bool statistics = false;  ///< Whether Decode() keeps statistics; costs about a microsecond per launch.
};

/// Holds the KV cache and the buffers of one sequence; the model is shared. For one thread at a time; sessions of
/// different threads are independent. Calls that fail leave the session as it was.
class Session {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<Session>> Create(std::shared_ptr<const Model> model,
                                                                       const SessionOptions& options);

  /// Appends `tokens` by the prefill kernels and returns the logits that follow the last one: f32<vocab>, valid until
  /// the next call. No tokens, ids outside the vocabulary and more tokens than positions left are user errors.
  [[nodiscard]] absl::StatusOr<std::span<const float>> Prefill(std::span<const int32_t> tokens);
  /// Appends one token by the decode kernels and returns the logits that follow it; as Prefill() otherwise.
  [[nodiscard]] absl::StatusOr<std::span<const float>> Decode(int32_t token);
  /// Forgets all tokens, not the statistics.
  void Reset() { cache_.Clear(); }

  /// Tokens so far.
  [[nodiscard]] int64_t position() const { return cache_.position(); }
  [[nodiscard]] int threads() const { return team_.threads(); }
  [[nodiscard]] const Model& model() const { return *model_; }
  /// Of the tokens that Decode() took, if SessionOptions::statistics asked for them.
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  void ClearStatistics() { statistics_.Clear(); }
  /// Switches statistics on or off from the next token on.
  void CollectStatistics(bool on) { observe_ = on; }

 private:
  Session(std::shared_ptr<const Model> model, const SessionOptions& options, KvCache cache, HostBuffer arena);
  absl::Status Bind();
  absl::Status CheckTokens(std::span<const int32_t> tokens) const;
  void RunDecode(int32_t token);
  [[nodiscard]] std::span<const float> Logits(const Executor& executor) const;

  std::shared_ptr<const Model> model_;
  bool observe_;
  KvCache cache_;
  HostBuffer arena_;
  ThreadTeam team_;
  Statistics statistics_;
  std::unique_ptr<Executor> decode_;
  std::unique_ptr<Executor> prefill_;  // null where the plan has none: then decode does its work
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ENGINE_SESSION_H_
