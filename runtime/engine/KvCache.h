// The memory that a session keeps between tokens.
#ifndef DEJAVU_RUNTIME_ENGINE_KVCACHE_H_
#define DEJAVU_RUNTIME_ENGINE_KVCACHE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cpu/HostBuffer.h"

namespace dejavu {

/// Keys and values of every layer for all positions, and how many positions are filled. Pages of positions that were
/// never reached cost no memory.
class KvCache {
 public:
  [[nodiscard]] static absl::StatusOr<KvCache> Create(const Plan& plan);

  /// Cache number `index` of the plan, 64-byte aligned, zero at first.
  [[nodiscard]] std::byte* layer(size_t index) const { return layers_[index].data(); }
  /// Positions filled by tokens so far.
  [[nodiscard]] int64_t position() const { return position_; }
  [[nodiscard]] int64_t capacity() const { return capacity_; }

  void Advance(int64_t tokens) { position_ += tokens; }
  /// Forgets all tokens. What they left behind stays, as no kernel reads past position().
  void Clear() { position_ = 0; }

 private:
  explicit KvCache(int64_t capacity) : capacity_(capacity) {}

  std::vector<HostBuffer> layers_;
  int64_t capacity_;
  int64_t position_ = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ENGINE_KVCACHE_H_
