#include "codegen/plan/JointLaunches.h"

#include <algorithm>
#include <optional>

#include "codegen/target/KernelShapes.h"

namespace dejavu {
namespace {

bool IsSame(const BufferRef& a, const BufferRef& b) { return a.kind == b.kind && a.value == b.value; }

/// Whether both multiply with the same vector: x is the first operand; gamma and beta are the last two.
bool HaveSameInput(const Launch& a, const KernelSpec& a_spec, const Launch& b, const KernelSpec& b_spec) {
  const size_t a_end = a_spec.operands.size();
  const size_t b_end = b_spec.operands.size();
  return a_end >= 3 && b_end >= 3 && IsSame(a.args[0], b.args[0]) && IsSame(a.args[a_end - 1], b.args[b_end - 1]) &&
         IsSame(a.args[a_end - 2], b.args[b_end - 2]);
}

class Joining {
 public:
  Joining(const std::vector<Launch>& launches, const std::vector<KernelSpec>& specs, const StreamOrder& order,
          const KernelTable& kernels)
      : launches_(launches), specs_(specs), order_(order), kernels_(kernels), place_(launches.size()) {}

  std::vector<JointLaunches> Run() {
    for (size_t i = 0; i < launches_.size(); ++i) {
      if (launches_[i].stream == 0) {
        place_[i] = groups_.size();
        groups_.push_back({i});
      }
    }
    for (size_t i = 0; i < launches_.size(); ++i) {
      if (launches_[i].stream != 0) {
        Place(i);
      }
    }
    std::vector<JointLaunches> joints;
    for (const std::vector<size_t>& group : groups_) {
      if (group.size() > 1) {
        joints.push_back({group, SpecOf(group)});
      }
    }
    return joints;
  }

 private:
  /// Adds the launch to a group, if it can be.
  void Place(size_t launch) {
    size_t begin = 0;
    size_t end = groups_.size();
    for (size_t other = 0; other < launches_.size(); ++other) {
      if (order_.EndsBefore(other, launch)) {
        // One that is in no group has ended at the first launch of stream 0 that follows it.
        begin = std::max(begin, place_[other].has_value() ? *place_[other] + 1 : FirstAfter(other));
      }
    }
    end = std::min(end, FirstAfter(launch));
    for (size_t group = begin; group < end; ++group) {
      std::vector<size_t> joined = groups_[group];
      joined.push_back(launch);
      if (kernels_.Find(kJointKernel) != nullptr && kernels_.Supports(SpecOf(joined)).ok()) {
        groups_[group] = std::move(joined);
        place_[launch] = group;
        return;
      }
    }
  }

  /// The group of the first launch of stream 0 that follows `launch`.
  [[nodiscard]] size_t FirstAfter(size_t launch) const {
    for (size_t group = 0; group < groups_.size(); ++group) {
      if (order_.EndsBefore(launch, groups_[group].front())) {
        return group;
      }
    }
    return groups_.size();
  }

  [[nodiscard]] KernelSpec SpecOf(const std::vector<size_t>& group) const {
    std::vector<const Launch*> launches;
    std::vector<const KernelSpec*> specs;
    for (const size_t launch : group) {
      launches.push_back(&launches_[launch]);
      specs.push_back(&specs_[launch]);
    }
    return JointSpecOf(launches, specs);
  }

  const std::vector<Launch>& launches_;
  const std::vector<KernelSpec>& specs_;
  const StreamOrder& order_;
  const KernelTable& kernels_;
  std::vector<std::vector<size_t>> groups_;   // one for each launch of stream 0, which is the first in it
  std::vector<std::optional<size_t>> place_;  // the group of each launch
};

}  // namespace

std::vector<JointLaunches> JoinLaunches(const std::vector<Launch>& launches, const std::vector<KernelSpec>& specs,
                                        const StreamOrder& order, const KernelTable& kernels) {
  return Joining(launches, specs, order, kernels).Run();
}

KernelSpec JointSpecOf(const std::vector<const Launch*>& launches, const std::vector<const KernelSpec*>& specs) {
  KernelSpec joint;
  joint.kernel = kJointKernel;
  bool same_input = true;
  for (size_t i = 0; i < specs.size(); ++i) {
    joint.parts.push_back(*specs[i]);
    same_input = same_input && HaveSameInput(*launches[0], *specs[0], *launches[i], *specs[i]);
  }
  if (same_input) {
    joint.attributes[kSameInput] = true;
  }
  return joint;
}

}  // namespace dejavu
