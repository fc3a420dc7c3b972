#include "ir/import/OnnxOrder.h"

#include <functional>
#include <queue>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "ir/import/OnnxNames.h"

namespace dejavu {
namespace {

using Producers = std::unordered_map<std::string, int>;

/// Which node defines each value; every value must have one definition.
absl::StatusOr<Producers> FindProducers(const onnx::GraphProto& graph, const std::set<std::string>& given) {
  Producers producers;
  for (int i = 0; i < graph.node_size(); ++i) {
    for (const std::string& output : graph.node(i).output()) {
      if (output.empty()) {
        continue;
      }
      if (given.contains(output)) {
        return UserError("node ", DescribeNode(graph, i), ": its output ", QuotedName(output),
                         " has the name of an input or a stored tensor");
      }
      const auto [it, inserted] = producers.emplace(output, i);
      if (!inserted) {
        return UserError("node ", DescribeNode(graph, i), ": its output ", QuotedName(output),
                         " is already an output of node ", DescribeNode(graph, it->second));
      }
    }
  }
  return producers;
}

/// For each node the nodes whose outputs it reads; an error if a name that it reads is not defined.
absl::StatusOr<std::vector<std::vector<int>>> FindSources(const onnx::GraphProto& graph, const Producers& producers,
                                                          const std::set<std::string>& given) {
  std::vector<std::vector<int>> sources(static_cast<size_t>(graph.node_size()));
  for (int i = 0; i < graph.node_size(); ++i) {
    for (int k = 0; k < graph.node(i).input_size(); ++k) {
      const std::string& input = graph.node(i).input(k);
      if (input.empty() || given.contains(input)) {
        continue;
      }
      const auto it = producers.find(input);
      if (it == producers.end()) {
        return UserError("node ", DescribeNode(graph, i), ": its input #", k, " ", QuotedName(input),
                         " is not an input of the graph, a stored tensor or an output of a node");
      }
      sources[i].push_back(it->second);
    }
  }
  return sources;
}

/// A node on a cycle: going back from a node that cannot be ordered through others of that kind ends on one.
int FindCycle(const std::vector<std::vector<int>>& sources, const std::vector<int>& waiting_for) {
  int node = 0;
  while (waiting_for[node] == 0) {
    ++node;
  }
  for (size_t step = 0; step < sources.size(); ++step) {
    for (const int source : sources[node]) {
      if (waiting_for[source] > 0) {
        node = source;
        break;
      }
    }
  }
  return node;
}

}  // namespace

std::string NodeName(const onnx::GraphProto& graph, int index) {
  const onnx::NodeProto& node = graph.node(index);
  return node.name().empty() ? absl::StrCat(node.op_type(), "#", index) : node.name();
}

std::string DescribeNode(const onnx::GraphProto& graph, int index) {
  const onnx::NodeProto& node = graph.node(index);
  const std::string operator_name = QuotedName(node.op_type());
  return absl::StrCat(node.name().empty() ? absl::StrCat("#", index) : QuotedName(node.name()), " (",
                      operator_name.substr(1, operator_name.size() - 2), ")");
}

absl::StatusOr<std::vector<int>> OrderNodes(const onnx::GraphProto& graph, const std::set<std::string>& given) {
  ASSIGN_OR_RETURN(const Producers producers, FindProducers(graph, given));
  ASSIGN_OR_RETURN(const std::vector<std::vector<int>> sources, FindSources(graph, producers, given));
  std::vector<std::vector<int>> users(sources.size());
  std::vector<int> waiting_for(sources.size(), 0);
  // The lowest ready number first: a graph that is in order stays as it is.
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (size_t i = 0; i < sources.size(); ++i) {
    for (const int source : sources[i]) {
      users[source].push_back(static_cast<int>(i));
    }
    waiting_for[i] = static_cast<int>(sources[i].size());
    if (sources[i].empty()) {
      ready.push(static_cast<int>(i));
    }
  }
  std::vector<int> order;
  while (!ready.empty()) {
    order.push_back(ready.top());
    ready.pop();
    for (const int user : users[order.back()]) {
      if (--waiting_for[user] == 0) {
        ready.push(user);
      }
    }
  }
  if (order.size() < sources.size()) {
    return UserError("node ", DescribeNode(graph, FindCycle(sources, waiting_for)),
                     ": reads a value that is computed from its own output (a cycle)");
  }
  return order;
}

}  // namespace dejavu
