#include "runtime/cuda/LaunchOrder.h"

namespace dejavu::cuda {

std::vector<LaunchEdge> LaunchEdges(const PlanGraph& graph, const std::vector<Launch>& launches, const std::string& isa,
                                    bool allow_early) {
  const auto is_early = [&](size_t number) {
    const PlanGraph::Node& node = graph.nodes()[number];
    const auto& grids = node.joint != nullptr ? node.joint->grids : launches[node.launches.front()].grids;
    const auto grid = grids.find(isa);
    return grid != grids.end() && grid->second.early;
  };
  std::vector<LaunchEdge> edges;
  for (size_t i = 0; i < graph.nodes().size(); ++i) {
    const std::vector<size_t>& before = graph.nodes()[i].before;
    const auto number = static_cast<int>(i);
    if (before.empty()) {
      edges.push_back({LaunchEdge::kStart, number, false});
    }
    // A kernel that waits for those ahead of it has ended only after all of them, so a chain of early edges keeps the
    // order. Where several paths meet, ordinary edges do.
    const bool alone = before.size() == 1;
    for (const size_t from : before) {
      edges.push_back({static_cast<int>(from), number, allow_early && alone && is_early(i) && is_early(from)});
    }
  }
  return edges;
}

std::vector<LaunchEdge> EdgesToEnd(const PlanGraph& graph) {
  const size_t count = graph.nodes().size();
  std::vector<bool> followed(count, false);
  for (const PlanGraph::Node& node : graph.nodes()) {
    for (const size_t before : node.before) {
      followed[before] = true;
    }
  }
  std::vector<LaunchEdge> edges;
  for (size_t i = 0; i < count; ++i) {
    if (!followed[i]) {
      edges.push_back({static_cast<int>(i), static_cast<int>(count), false});
    }
  }
  return edges;
}

}  // namespace dejavu::cuda
