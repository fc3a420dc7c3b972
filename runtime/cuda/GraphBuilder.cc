#include "runtime/cuda/GraphBuilder.h"

#include <array>

#include "ir/base/Status.h"

namespace dejavu::cuda {

absl::StatusOr<GraphBuilder> GraphBuilder::Create(const CudaDevice& device) {
  GraphHandle graph = nullptr;
  RETURN_IF_ERROR(device.driver().GraphCreate(&graph, 0U));
  return GraphBuilder(device, Graph(device, graph));
}

absl::StatusOr<NodeHandle> GraphBuilder::AddKernel(const BoundLaunch& launch) {
  // As one block of bytes with its size, which the driver compares with what the kernel takes; a list of pointers would
  // be read past its end by a kernel with more parameters than the plan knows.
  size_t bytes = launch.params.size() * sizeof(DevicePointer);
  std::array<void*, 5> extra = {
      reinterpret_cast<void*>(kLaunchParamBuffer), const_cast<DevicePointer*>(launch.params.data()),
      reinterpret_cast<void*>(kLaunchParamBufferSize), &bytes, reinterpret_cast<void*>(kLaunchParamEnd)};
  KernelNodeParams params;
  params.function = launch.function;
  params.grid_x = launch.blocks;
  params.block_x = launch.threads;
  params.shared_bytes = launch.shared_bytes;
  params.extra = extra.data();
  NodeHandle node = nullptr;
  RETURN_IF_ERROR(WithContext(device_.driver().GraphAddKernelNode(&node, graph_.get(), nullptr, size_t{0}, &params),
                              absl::string_view(launch.symbol.data(), launch.symbol.size())));
  return node;
}

absl::StatusOr<NodeHandle> GraphBuilder::AddCopyToDevice(void* from, DevicePointer to, size_t bytes) {
  Copy3d copy;
  copy.from.memory_type = kMemoryHost;
  copy.from.host = from;
  copy.to.memory_type = kMemoryDevice;
  copy.to.device = to;
  copy.width_bytes = bytes;
  return AddCopy(copy);
}

absl::StatusOr<NodeHandle> GraphBuilder::AddCopyToHost(DevicePointer from, void* to, size_t bytes) {
  Copy3d copy;
  copy.from.memory_type = kMemoryDevice;
  copy.from.device = from;
  copy.to.memory_type = kMemoryHost;
  copy.to.host = to;
  copy.width_bytes = bytes;
  return AddCopy(copy);
}

absl::StatusOr<NodeHandle> GraphBuilder::AddCopy(const Copy3d& copy) {
  NodeHandle node = nullptr;
  RETURN_IF_ERROR(
      device_.driver().GraphAddMemcpyNode(&node, graph_.get(), nullptr, size_t{0}, &copy, device_.context()));
  return node;
}

absl::StatusOr<NodeHandle> GraphBuilder::AddEvent(EventHandle event) {
  NodeHandle node = nullptr;
  RETURN_IF_ERROR(device_.driver().GraphAddEventRecordNode(&node, graph_.get(), nullptr, size_t{0}, event));
  return node;
}

// One edge a call: given several, some drivers take the kind of the first for all.
absl::Status GraphBuilder::AddEdge(NodeHandle from, NodeHandle to, bool early) {
  const EdgeData ordinary;
  return device_.driver().GraphAddDependencies(graph_.get(), &from, &to, early ? &kProgrammaticEdge : &ordinary,
                                               size_t{1});
}

absl::StatusOr<GraphExec> GraphBuilder::Finish(StreamHandle stream) {
  GraphExecHandle handle = nullptr;
  RETURN_IF_ERROR(device_.driver().GraphInstantiate(&handle, graph_.get(), 0ULL));
  GraphExec exec(device_, handle);
  RETURN_IF_ERROR(device_.driver().GraphUpload(handle, stream));
  return exec;
}

}  // namespace dejavu::cuda
