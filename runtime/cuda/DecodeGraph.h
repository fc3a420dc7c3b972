// The graph that decodes a token, and the one that also says what its launches did.
#ifndef DEJAVU_RUNTIME_CUDA_DECODEGRAPH_H_
#define DEJAVU_RUNTIME_CUDA_DECODEGRAPH_H_

#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/cuda/GraphBuilder.h"
#include "runtime/cuda/LaunchOrder.h"
#include "runtime/device/Device.h"

namespace dejavu::cuda {

/// What the device gets from the host before the launches.
struct Input {
  void* from = nullptr;  // pinned
  DevicePointer to = 0;
  size_t bytes = 0;
};

/// A copy of the input, unless that is null, then the launches, ordered by `edges`. The context must be current, here
/// and below.
[[nodiscard]] absl::StatusOr<GraphExec> MakeDecodeGraph(const CudaDevice& device, const Input* input,
                                                        const std::vector<BoundLaunch>& launches,
                                                        const std::vector<LaunchEdge>& edges, StreamHandle stream);

/// What of each token an ObservedGraph keeps beside the counts.
struct Observed {
  std::vector<WatchedOperand> watched = {};
  bool times = true;
  int64_t sequences = 1;  ///< That a launch takes a token of.
};

/// The same work, one launch after the other, with an event on both sides of each if times are kept, and copies of what
/// LaunchRecord counts and of the operands watched, taken before the next launch may reuse the buffers.
class ObservedGraph {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<ObservedGraph>> Create(const CudaDevice& device,
                                                                             const Input& input,
                                                                             const std::vector<BoundLaunch>& launches,
                                                                             const Observed& observed,
                                                                             StreamHandle stream);

  [[nodiscard]] GraphExecHandle get() const { return exec_.get(); }
  /// What the last replay's launches did; it must have ended.
  [[nodiscard]] absl::Status Read(std::vector<LaunchRecord>& records) const;
  /// What operand `number` of those watched held.
  [[nodiscard]] std::span<const std::byte> Watched(size_t number) const { return watched_[number]; }

 private:
  /// Where a launch's numbers are found after a replay.
  struct Place {
    size_t before = 0;  // events, if times are kept
    size_t after = 0;
    const std::byte* active = nullptr;    // count of Launch::per_active, or null
    const std::byte* h = nullptr;         // values of Launch::per_positive, or null
    const std::byte* h_active = nullptr;  // how many of them there are
    int64_t neurons = 0;
  };
  class Chain;

  ObservedGraph(const CudaDevice& device, const Observed& observed)
      : device_(device), times_(observed.times), sequences_(observed.sequences) {}
  absl::Status Build(const Input& input, const std::vector<BoundLaunch>& launches,
                     const std::vector<WatchedOperand>& watched, StreamHandle stream);

  const CudaDevice& device_;
  bool times_;
  int64_t sequences_;
  PinnedMemory counts_;
  std::vector<Event> events_;
  std::vector<Place> places_;
  std::vector<std::span<const std::byte>> watched_;
  GraphExec exec_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_DECODEGRAPH_H_
