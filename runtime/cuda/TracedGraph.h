// The graph of a token with clocks around its launches.
#ifndef DEJAVU_RUNTIME_CUDA_TRACEDGRAPH_H_
#define DEJAVU_RUNTIME_CUDA_TRACEDGRAPH_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/cuda/DecodeGraph.h"
#include "runtime/cuda/GraphBuilder.h"
#include "runtime/cuda/LaunchOrder.h"
#include "runtime/device/Device.h"

namespace dejavu::cuda {

/// What MakeDecodeGraph() makes, with an event on both sides of each kernel. Streams stay beside each other; no launch
/// starts early, as an event stands before it.
class TracedGraph {
 public:
  /// The context must be current, here and below.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<TracedGraph>> Create(const CudaDevice& device, const Input& input,
                                                                           const std::vector<BoundLaunch>& launches,
                                                                           const std::vector<LaunchEdge>& edges,
                                                                           StreamHandle stream);

  [[nodiscard]] GraphExecHandle get() const { return exec_.get(); }
  /// When each of `launches` ran in the last replay, which must have ended.
  [[nodiscard]] absl::StatusOr<std::vector<LaunchSpan>> Read() const;

 private:
  struct Clocks {
    Event begin;
    Event end;
  };

  explicit TracedGraph(const CudaDevice& device) : device_(device) {}
  absl::Status Build(const Input& input, const std::vector<BoundLaunch>& launches, const std::vector<LaunchEdge>& edges,
                     StreamHandle stream);
  /// The time from the token's start to `event`, in nanoseconds.
  absl::StatusOr<int64_t> TimeOf(const Event& event) const;

  const CudaDevice& device_;
  Event start_;
  std::vector<Clocks> clocks_;  // by launch
  GraphExec exec_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_TRACEDGRAPH_H_
