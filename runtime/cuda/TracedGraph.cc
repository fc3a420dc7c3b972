#include "runtime/cuda/TracedGraph.h"

#include <cmath>

#include "ir/base/Status.h"

namespace dejavu::cuda {

absl::StatusOr<std::unique_ptr<TracedGraph>> TracedGraph::Create(const CudaDevice& device, const Input& input,
                                                                 const std::vector<BoundLaunch>& launches,
                                                                 const std::vector<LaunchEdge>& edges,
                                                                 StreamHandle stream) {
  std::unique_ptr<TracedGraph> graph(new TracedGraph(device));
  RETURN_IF_ERROR(graph->Build(input, launches, edges, stream));
  return graph;
}

absl::Status TracedGraph::Build(const Input& input, const std::vector<BoundLaunch>& launches,
                                const std::vector<LaunchEdge>& edges, StreamHandle stream) {
  struct Nodes {
    NodeHandle begin;
    NodeHandle kernel;
  };
  ASSIGN_OR_RETURN(GraphBuilder builder, GraphBuilder::Create(device_));
  ASSIGN_OR_RETURN(const NodeHandle copy, builder.AddCopyToDevice(input.from, input.to, input.bytes));
  ASSIGN_OR_RETURN(start_, NewEvent(device_, /*timing=*/true));
  ASSIGN_OR_RETURN(const NodeHandle start, builder.AddEvent(start_.get()));
  RETURN_IF_ERROR(builder.AddEdge(copy, start, /*early=*/false));
  std::vector<Nodes> nodes;
  for (const BoundLaunch& launch : launches) {
    Clocks clocks;
    ASSIGN_OR_RETURN(clocks.begin, NewEvent(device_, /*timing=*/true));
    ASSIGN_OR_RETURN(clocks.end, NewEvent(device_, /*timing=*/true));
    ASSIGN_OR_RETURN(const NodeHandle begin, builder.AddEvent(clocks.begin.get()));
    ASSIGN_OR_RETURN(const NodeHandle kernel, builder.AddKernel(launch));
    ASSIGN_OR_RETURN(const NodeHandle end, builder.AddEvent(clocks.end.get()));
    RETURN_IF_ERROR(builder.AddEdge(begin, kernel, /*early=*/false));
    RETURN_IF_ERROR(builder.AddEdge(kernel, end, /*early=*/false));
    nodes.push_back({begin, kernel});
    clocks_.push_back(std::move(clocks));
  }
  for (const LaunchEdge& edge : edges) {
    const NodeHandle from = edge.from == LaunchEdge::kStart ? start : nodes[static_cast<size_t>(edge.from)].kernel;
    RETURN_IF_ERROR(builder.AddEdge(from, nodes[static_cast<size_t>(edge.to)].begin, /*early=*/false));
  }
  ASSIGN_OR_RETURN(exec_, builder.Finish(stream));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LaunchSpan>> TracedGraph::Read() const {
  std::vector<LaunchSpan> spans;
  for (const Clocks& clocks : clocks_) {
    LaunchSpan span;
    ASSIGN_OR_RETURN(span.begin, TimeOf(clocks.begin));
    ASSIGN_OR_RETURN(span.end, TimeOf(clocks.end));
    spans.push_back(span);
  }
  return spans;
}

absl::StatusOr<int64_t> TracedGraph::TimeOf(const Event& event) const {
  float milliseconds = 0;
  RETURN_IF_ERROR(device_.driver().EventElapsedTime(&milliseconds, start_.get(), event.get()));
  return std::llround(static_cast<double>(milliseconds) * 1e6);
}

}  // namespace dejavu::cuda
