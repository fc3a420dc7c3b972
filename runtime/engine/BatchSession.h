// Several sequences of tokens going through a model together, so that weights are read once for all of them.
#ifndef DEJAVU_RUNTIME_ENGINE_BATCHSESSION_H_
#define DEJAVU_RUNTIME_ENGINE_BATCHSESSION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/device/Device.h"
#include "runtime/engine/Model.h"
#include "runtime/engine/Session.h"
#include "runtime/engine/Statistics.h"

namespace dejavu {

/// As Session, for a number of sequences that the artifact was compiled for. They may differ in length; each gets a
/// token in every step. A sparse artifact computes in a step what any of them needs.
class BatchSession {
 public:
  /// A number of sequences that the artifact has no code for is a user error that says which ones it has.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<BatchSession>> Create(std::shared_ptr<const Model> model,
                                                                            int64_t sequences,
                                                                            const SessionOptions& options);

  /// Appends `tokens` to one sequence and returns the logits that follow the last one: f32<vocab>, valid until the next
  /// call. Errors as of Session::Prefill(), and a sequence that there is not.
  [[nodiscard]] absl::StatusOr<std::span<const float>> Prefill(int64_t sequence, std::span<const int32_t> tokens);
  /// Appends to each sequence its token and returns the logits that follow: f32<sequences, vocab>. A wrong number of
  /// tokens, ids outside the vocabulary and a sequence without a position left are user errors.
  [[nodiscard]] absl::StatusOr<std::span<const float>> Decode(std::span<const int32_t> tokens);
  /// As Decode(), but leaves the logits on the device and returns the likeliest next tokens, one for each sequence; -1
  /// where logits give no choice.
  [[nodiscard]] absl::StatusOr<std::span<const int32_t>> DecodeGreedily(std::span<const int32_t> tokens);
  /// Forgets all tokens of all sequences, not the statistics.
  void Reset() { positions_.assign(positions_.size(), 0); }
  /// Forgets those of one, for whose place another sequence waits.
  void Reset(int64_t sequence) { positions_[static_cast<size_t>(sequence)] = 0; }

  [[nodiscard]] int64_t sequences() const { return static_cast<int64_t>(positions_.size()); }
  /// Tokens so far of one sequence.
  [[nodiscard]] int64_t position(int64_t sequence) const { return positions_[static_cast<size_t>(sequence)]; }
  /// Of the CPU.
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] const Model& model() const { return *model_; }
  /// Of the steps so far, where each counts as one token; shares are of what a whole step computed.
  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  void ClearStatistics() { statistics_.Clear(); }
  void CollectStatistics(bool on) { observe_ = on; }

 private:
  BatchSession(std::shared_ptr<const Model> model, int64_t sequences, const SessionOptions& options, int threads,
               std::unique_ptr<DeviceBatch> device);
  absl::Status Step(std::span<const int32_t> tokens);
  absl::Status Check(int64_t sequence, std::span<const int32_t> tokens) const;
  absl::Status Fail(absl::Status status);

  std::shared_ptr<const Model> model_;
  bool observe_;
  int threads_;
  std::vector<int64_t> positions_;
  Statistics statistics_;
  absl::Status failure_;  // of the device
  std::unique_ptr<DeviceBatch> device_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ENGINE_BATCHSESSION_H_
