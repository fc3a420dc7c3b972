// CUDA graphs, node by node: work that one call of the driver replays.
#ifndef DEJAVU_RUNTIME_CUDA_GRAPHBUILDER_H_
#define DEJAVU_RUNTIME_CUDA_GRAPHBUILDER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/cuda/CudaObjects.h"

namespace dejavu::cuda {

/// A launch or joint of a plan with its kernel, its geometry on this device, and its arguments in the kernel's order,
/// each an address.
struct BoundLaunch {
  const Launch* launch = nullptr;  ///< Null for a joint.
  std::string_view symbol;         ///< For messages.
  FunctionHandle function = nullptr;
  uint32_t blocks = 1;
  uint32_t threads = 1;
  uint32_t shared_bytes = 0;
  std::vector<DevicePointer> params;
};

/// Adds nodes to a graph. The device's context must be current during all calls; what nodes name must outlive the
/// graph.
class GraphBuilder {
 public:
  [[nodiscard]] static absl::StatusOr<GraphBuilder> Create(const CudaDevice& device);

  [[nodiscard]] absl::StatusOr<NodeHandle> AddKernel(const BoundLaunch& launch);
  /// `from` is pinned.
  [[nodiscard]] absl::StatusOr<NodeHandle> AddCopyToDevice(void* from, DevicePointer to, size_t bytes);
  /// `to` is pinned.
  [[nodiscard]] absl::StatusOr<NodeHandle> AddCopyToHost(DevicePointer from, void* to, size_t bytes);
  [[nodiscard]] absl::StatusOr<NodeHandle> AddEvent(EventHandle event);
  /// `to` starts after the end of `from`, or, if `early`, when `from` lets it; both are kernels then.
  [[nodiscard]] absl::Status AddEdge(NodeHandle from, NodeHandle to, bool early);

  /// The graph ready to run, its resources already on the device.
  [[nodiscard]] absl::StatusOr<GraphExec> Finish(StreamHandle stream);

 private:
  GraphBuilder(const CudaDevice& device, Graph graph) : device_(device), graph_(std::move(graph)) {}
  absl::StatusOr<NodeHandle> AddCopy(const Copy3d& copy);

  const CudaDevice& device_;
  Graph graph_;
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_GRAPHBUILDER_H_
