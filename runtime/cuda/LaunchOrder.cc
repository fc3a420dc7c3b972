#include "runtime/cuda/LaunchOrder.h"

#include <map>
#include <set>

namespace dejavu::cuda {
namespace {

bool IsEarly(const Launch& launch, const std::string& isa) {
  const auto grid = launch.grids.find(isa);
  return grid != launch.grids.end() && grid->second.early;
}

}  // namespace

std::vector<LaunchEdge> LaunchEdges(const std::vector<Launch>& launches, const std::string& isa, bool allow_early) {
  std::vector<LaunchEdge> edges;
  std::map<int64_t, int> last;  // by stream
  for (size_t i = 0; i < launches.size(); ++i) {
    const Launch& launch = launches[i];
    std::set<int> before;
    const auto previous = last.find(launch.stream);
    if (previous != last.end()) {
      before.insert(previous->second);
    }
    for (const int64_t wait : launch.waits) {
      before.insert(static_cast<int>(wait));
    }
    const auto number = static_cast<int>(i);
    last[launch.stream] = number;
    if (before.empty()) {
      edges.push_back({LaunchEdge::kStart, number, false});
    }
    // A kernel that waits for those ahead of it has ended only after all of them, so a chain of early edges keeps the
    // order. Where several paths meet, ordinary edges do.
    const bool alone = before.size() == 1;
    for (const int from : before) {
      edges.push_back({from, number, allow_early && alone && IsEarly(launch, isa) && IsEarly(launches[from], isa)});
    }
  }
  return edges;
}

std::vector<LaunchEdge> EdgesToEnd(const std::vector<Launch>& launches) {
  std::map<int64_t, int> last;  // by stream
  for (size_t i = 0; i < launches.size(); ++i) {
    last[launches[i].stream] = static_cast<int>(i);
  }
  std::vector<LaunchEdge> edges;
  for (const auto& [stream, number] : last) {
    edges.push_back({number, static_cast<int>(launches.size()), false});
  }
  return edges;
}

}  // namespace dejavu::cuda
