// What a plan's function runs at once, and in which order.
#ifndef DEJAVU_RUNTIME_ARTIFACT_PLANGRAPH_H_
#define DEJAVU_RUNTIME_ARTIFACT_PLANGRAPH_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/artifact/Plan.h"

namespace dejavu {

/// Nodes are launches, or joints in the place of their launches. A launch follows the one before it in its stream and
/// those in its waits; a joint follows what any of its launches follows.
class PlanGraph {
 public:
  struct Node {
    std::vector<size_t> launches;  ///< Numbers of launches, ascending.
    const Joint* joint = nullptr;  ///< Null for a single launch. Belongs to the function.
    std::vector<size_t> before;    ///< Nodes that it follows directly, ascending: none of them follows another.
  };

  /// With the joints that have a grid for `isa`; all of them where that is empty. The nodes are in an order in which
  /// they can run. An error if there is none, or a joint names launches that don't exist or are in another one.
  [[nodiscard]] static absl::StatusOr<PlanGraph> Of(const PlanFunction& function, const std::string& isa);

  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  /// The node of a launch.
  [[nodiscard]] size_t NodeOf(size_t launch) const { return node_of_[launch]; }
  /// Whether node `b` follows node `a`, directly or not.
  [[nodiscard]] bool Follows(size_t b, size_t a) const { return earlier_[b][a]; }

 private:
  std::vector<Node> nodes_;
  std::vector<size_t> node_of_;
  std::vector<std::vector<bool>> earlier_;  // for each node, those that it follows
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_PLANGRAPH_H_
