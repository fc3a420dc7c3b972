// Which launches of a plan wait for which: streams and waits as the edges of a graph.
#ifndef DEJAVU_RUNTIME_CUDA_LAUNCHORDER_H_
#define DEJAVU_RUNTIME_CUDA_LAUNCHORDER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "runtime/artifact/Plan.h"

namespace dejavu::cuda {

/// `to` starts after `from`: numbers of launches, or kStart for what comes before all of them.
struct LaunchEdge {
  static constexpr int kStart = -1;
  int from = kStart;
  int to = 0;
  /// `to` may start as soon as `from` lets it, and waits for the end of `from` by itself.
  bool early = false;

  friend bool operator==(const LaunchEdge&, const LaunchEdge&) = default;
};

/// A launch follows the one before it in its stream and those in its waits, or the start if there are none. No edge is
/// there twice. With `allow_early`, an edge between two launches whose grids for `isa` say `early` is early where it is
/// the only one into its launch.
[[nodiscard]] std::vector<LaunchEdge> LaunchEdges(const std::vector<Launch>& launches, const std::string& isa,
                                                  bool allow_early);

/// What follows all launches: the last of each stream before number `launches.size()`.
[[nodiscard]] std::vector<LaunchEdge> EdgesToEnd(const std::vector<Launch>& launches);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_LAUNCHORDER_H_
