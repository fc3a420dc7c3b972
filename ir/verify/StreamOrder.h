// Which launches of a schedule may run side by side.
#ifndef DEJAVU_IR_VERIFY_STREAMORDER_H_
#define DEJAVU_IR_VERIFY_STREAMORDER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ir/base/Status.h"
#include "ir/core/Module.h"

namespace dejavu {

/// A launch waits for the one before it in its stream and for those whose results it reads, and by them for all that
/// they waited for. Launches are numbered in the order of the text. Outlives changes to places, not to ops or streams.
class StreamOrder {
 public:
  static constexpr int64_t kMaxStreams = 8;

  /// An error for a stream outside of 0 to kMaxStreams - 1.
  [[nodiscard]] static absl::StatusOr<StreamOrder> Of(const Function& function);

  /// Whether launch `a` is certain to have ended when launch `b` starts.
  [[nodiscard]] bool EndsBefore(size_t a, size_t b) const { return Index(a) <= ended_[b][stream_[a]]; }
  /// The launches of other streams that launch `number` itself must wait for, ascending; the rest follows.
  [[nodiscard]] const std::vector<size_t>& Waits(size_t number) const { return waits_[number]; }

 private:
  static int64_t Index(size_t number) { return static_cast<int64_t>(number); }
  void Add(size_t stream, const std::vector<size_t>& producers);

  std::vector<size_t> stream_;
  // For each launch and stream, the last launch of that stream that has ended when it starts; -1 for none.
  std::vector<std::array<int64_t, kMaxStreams>> ended_;
  std::vector<std::vector<size_t>> waits_;
  std::array<int64_t, kMaxStreams> last_ = {};  // of each stream so far
};

/// Whether a launch only says which neurons or heads are needed.
[[nodiscard]] bool IsPredictorLaunch(const Operation& op);

}  // namespace dejavu

#endif  // DEJAVU_IR_VERIFY_STREAMORDER_H_
