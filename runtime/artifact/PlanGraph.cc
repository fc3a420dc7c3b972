#include "runtime/artifact/PlanGraph.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

/// The nodes in the order of their first launches.
absl::StatusOr<std::vector<PlanGraph::Node>> UnorderedNodes(const PlanFunction& function, const std::string& isa) {
  std::map<size_t, PlanGraph::Node> joints;  // by first launch
  std::set<size_t> joined;
  for (const Joint& joint : function.joints) {
    if (!isa.empty() && !joint.grids.contains(isa)) {
      continue;
    }
    PlanGraph::Node node;
    node.joint = &joint;
    for (const int64_t launch : joint.launches) {
      const auto number = static_cast<size_t>(launch);
      if (launch < 0 || number >= function.launches.size() || !joined.insert(number).second) {
        return UserError("the joint '", joint.symbol, "' names launch ", launch,
                         ", which does not exist or is in a joint already");
      }
      node.launches.push_back(number);
    }
    if (node.launches.size() < 2) {
      return UserError("the joint '", joint.symbol, "' must name at least two launches");
    }
    std::sort(node.launches.begin(), node.launches.end());
    joints[node.launches.front()] = std::move(node);
  }
  std::vector<PlanGraph::Node> nodes;
  for (size_t i = 0; i < function.launches.size(); ++i) {
    if (joints.contains(i)) {
      nodes.push_back(std::move(joints[i]));
    } else if (!joined.contains(i)) {
      nodes.push_back({{i}, nullptr, {}});
    }
  }
  return nodes;
}

/// The launches that launch i follows directly, for each i.
std::vector<std::set<size_t>> LaunchesBefore(const std::vector<Launch>& launches) {
  std::vector<std::set<size_t>> before(launches.size());
  std::map<int64_t, size_t> last;  // by stream
  for (size_t i = 0; i < launches.size(); ++i) {
    const auto previous = last.find(launches[i].stream);
    if (previous != last.end()) {
      before[i].insert(previous->second);
    }
    for (const int64_t wait : launches[i].waits) {
      before[i].insert(static_cast<size_t>(wait));
    }
    last[launches[i].stream] = i;
  }
  return before;
}

}  // namespace

absl::StatusOr<PlanGraph> PlanGraph::Of(const PlanFunction& function, const std::string& isa) {
  ASSIGN_OR_RETURN(const std::vector<Node> unordered, UnorderedNodes(function, isa));
  std::vector<size_t> owner(function.launches.size());
  for (size_t node = 0; node < unordered.size(); ++node) {
    for (const size_t launch : unordered[node].launches) {
      owner[launch] = node;
    }
  }
  const std::vector<std::set<size_t>> launches_before = LaunchesBefore(function.launches);
  std::vector<std::set<size_t>> before(unordered.size());
  for (size_t launch = 0; launch < owner.size(); ++launch) {
    for (const size_t other : launches_before[launch]) {
      before[owner[launch]].insert(owner[other]);
    }
  }
  // Of the nodes that can run the first one is next, so the order stays close to the launches'.
  PlanGraph graph;
  graph.node_of_.resize(owner.size());
  std::vector<std::optional<size_t>> place(unordered.size());
  while (graph.nodes_.size() < unordered.size()) {
    size_t next = 0;
    while (next < unordered.size() &&
           (place[next].has_value() ||
            !std::all_of(before[next].begin(), before[next].end(), [&](size_t b) { return place[b]; }))) {
      ++next;
    }
    if (next == unordered.size()) {
      return UserError("the joints make launches wait for themselves");
    }
    const size_t number = graph.nodes_.size();
    place[next] = number;
    std::vector<bool> earlier(unordered.size(), false);
    for (const size_t b : before[next]) {
      const std::vector<bool>& of_other = graph.earlier_[*place[b]];
      std::transform(earlier.begin(), earlier.end(), of_other.begin(), earlier.begin(), std::logical_or<>());
    }
    Node node = unordered[next];
    for (const size_t b : before[next]) {
      if (!earlier[*place[b]]) {
        node.before.push_back(*place[b]);
      }
    }
    std::sort(node.before.begin(), node.before.end());
    for (const size_t direct : node.before) {
      earlier[direct] = true;
    }
    for (const size_t launch : node.launches) {
      graph.node_of_[launch] = number;
    }
    graph.earlier_.push_back(std::move(earlier));
    graph.nodes_.push_back(std::move(node));
  }
  return graph;
}

}  // namespace dejavu
