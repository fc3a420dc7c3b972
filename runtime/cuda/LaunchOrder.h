// Which nodes of a plan's graph wait for which, and how.
#ifndef DEJAVU_RUNTIME_CUDA_LAUNCHORDER_H_
#define DEJAVU_RUNTIME_CUDA_LAUNCHORDER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "runtime/artifact/PlanGraph.h"

namespace dejavu::cuda {

/// `to` starts after `from`: numbers of nodes, or kStart for what comes before all of them.
struct LaunchEdge {
  static constexpr int kStart = -1;
  int from = kStart;
  int to = 0;
  /// `to` may start as soon as `from` lets it, and waits for the end of `from` by itself.
  bool early = false;

  friend bool operator==(const LaunchEdge&, const LaunchEdge&) = default;
};

/// A node follows those that the graph says, or the start if there are none. With `allow_early`, an edge between two
/// nodes whose grids for `isa` say `early` is early where it is the only one into its node.
[[nodiscard]] std::vector<LaunchEdge> LaunchEdges(const PlanGraph& graph, const std::vector<Launch>& launches,
                                                  const std::string& isa, bool allow_early);

/// What follows all nodes: those that none follows, before number `graph.nodes().size()`.
[[nodiscard]] std::vector<LaunchEdge> EdgesToEnd(const PlanGraph& graph);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_LAUNCHORDER_H_
