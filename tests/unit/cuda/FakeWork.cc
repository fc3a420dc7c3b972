// The fake driver's streams, events and graphs: work that waits until somebody waits for it.
#include <algorithm>
#include <cstring>

#include "tests/unit/cuda/FakeDevice.h"
#include "tests/unit/cuda/FakeDriver.h"

using namespace dejavu::cuda;        // NOLINT(google-build-using-namespace): the whole file is the fake
using namespace dejavu::cuda::fake;  // NOLINT(google-build-using-namespace)

extern "C" {

Result cuStreamCreate(StreamHandle* stream, uint32_t) {
  FAKE_CALL("cuStreamCreate");
  *stream = new StreamTag;
  device().streams.push_back(*stream);
  ++device().state.live["stream"];
  return kSuccess;
}

Result cuStreamDestroy_v2(StreamHandle stream) {
  FAKE_ENTER(Enter, "cuStreamDestroy_v2");
  std::erase(device().streams, stream);
  Release("stream", stream);
  return entered;
}

Result cuStreamSynchronize(StreamHandle stream) {
  FAKE_CALL("cuStreamSynchronize");
  Drain(*stream);
  return device().fault;
}

Result cuEventCreate(EventHandle* event, uint32_t) {
  FAKE_CALL("cuEventCreate");
  *event = new EventTag;
  ++device().state.live["event"];
  return kSuccess;
}

Result cuEventDestroy_v2(EventHandle event) {
  FAKE_ENTER(Enter, "cuEventDestroy_v2");
  Release("event", event);
  return entered;
}

Result cuEventRecord(EventHandle event, StreamHandle stream) {
  FAKE_CALL("cuEventRecord");
  stream->pending.emplace_back([=] { *event = {true, device().clock}; });
  return kSuccess;
}

Result cuEventSynchronize(EventHandle) {
  FAKE_CALL("cuEventSynchronize");
  for (StreamTag* stream : device().streams) {
    Drain(*stream);
  }
  return device().fault;
}

Result cuEventElapsedTime(float* milliseconds, EventHandle start, EventHandle end) {
  FAKE_CALL("cuEventElapsedTime");
  if (!start->recorded || !end->recorded) {
    return kInvalidHandle;
  }
  *milliseconds = static_cast<float>(end->time - start->time) / 1e6F;
  return kSuccess;
}

Result cuGraphCreate(GraphHandle* graph, uint32_t) {
  FAKE_CALL("cuGraphCreate");
  *graph = new GraphTag;
  ++device().state.live["graph"];
  return kSuccess;
}

Result cuGraphDestroy(GraphHandle graph) {
  FAKE_ENTER(Enter, "cuGraphDestroy");
  Release("graph", graph);
  return entered;
}

Result cuGraphAddKernelNode_v2(NodeHandle* node, GraphHandle graph, const NodeHandle*, size_t,
                               const KernelNodeParams* params) {
  FAKE_CALL("cuGraphAddKernelNode_v2");
  std::vector<void*> values;
  if (!ReadParams(*params->function, params->extra, values)) {
    return kInvalidValue;
  }
  FunctionTag* function = params->function;
  return AddNode(
      graph, {NodeKind::kKernel, function->symbol, params->grid_x, params->block_x, params->shared_bytes},
      [function, values] { CallKernel(*function, values); }, node);
}

Result cuGraphAddMemcpyNode(NodeHandle* node, GraphHandle graph, const NodeHandle*, size_t, const Copy3d* copy,
                            ContextHandle context) {
  FAKE_CALL("cuGraphAddMemcpyNode");
  if (context != &device().context || copy->height != 1 || copy->depth != 1) {
    return kInvalidValue;
  }
  const size_t bytes = copy->width_bytes;
  const auto resolve = [&](const Copy3d::Side& side) {
    if (side.memory_type == kMemoryHost) {
      CheckPinned(side.host, bytes, "cuGraphAddMemcpyNode");
      return side.host;
    }
    CheckDevice(side.device, bytes, "cuGraphAddMemcpyNode");
    return Pointer(side.device);
  };
  void* from = resolve(copy->from);
  void* to = resolve(copy->to);
  return AddNode(graph, {NodeKind::kCopy, "", 0, 0, 0}, [=] { CopyBytes(to, from, bytes); }, node);
}

Result cuGraphAddEventRecordNode(NodeHandle* node, GraphHandle graph, const NodeHandle*, size_t, EventHandle event) {
  FAKE_CALL("cuGraphAddEventRecordNode");
  return AddNode(graph, {NodeKind::kEvent, "", 0, 0, 0}, [=] { *event = {true, device().clock}; }, node);
}

Result cuGraphAddDependencies_v2(GraphHandle, const NodeHandle* from, const NodeHandle* to, const EdgeData* edges,
                                 size_t count) {
  FAKE_CALL("cuGraphAddDependencies_v2");
  for (size_t i = 0; i < count; ++i) {
    const auto same = [&](const auto& edge) { return edge.first == from[i]; };
    if (std::any_of(to[i]->before.begin(), to[i]->before.end(), same)) {
      return kInvalidValue;
    }
    // As some drivers do: the first edge's kind for all.
    to[i]->before.emplace_back(from[i], edges[0].type == kProgrammaticEdge.type);
  }
  return kSuccess;
}

Result cuGraphInstantiateWithFlags(GraphExecHandle* exec, GraphHandle graph, unsigned long long) {
  FAKE_CALL("cuGraphInstantiateWithFlags");
  auto instance = std::make_unique<GraphExecTag>();
  instance->number = device().state.graphs.size();
  device().state.graphs.push_back(Describe(*graph));
  std::map<NodeTag*, NodeTag*> copies;
  for (const auto& node : graph->nodes) {
    instance->graph.nodes.push_back(std::make_unique<NodeTag>(*node));
    copies[node.get()] = instance->graph.nodes.back().get();
  }
  for (const auto& node : instance->graph.nodes) {
    for (auto& [before, programmatic] : node->before) {
      before = copies.at(before);
    }
  }
  *exec = instance.release();
  ++device().state.live["graph exec"];
  return kSuccess;
}

Result cuGraphExecDestroy(GraphExecHandle exec) {
  FAKE_ENTER(Enter, "cuGraphExecDestroy");
  Release("graph exec", exec);
  return entered;
}

Result cuGraphUpload(GraphExecHandle, StreamHandle) {
  FAKE_CALL("cuGraphUpload");
  return kSuccess;
}

Result cuGraphLaunch(GraphExecHandle exec, StreamHandle stream) {
  FAKE_CALL("cuGraphLaunch");
  if (exec->number < device().state.graphs.size()) {
    ++device().state.graphs[exec->number].launches;
  }
  stream->pending.emplace_back([exec] { RunGraph(exec->graph); });
  return kSuccess;
}

}  // extern "C"
