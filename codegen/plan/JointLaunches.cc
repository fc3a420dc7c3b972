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

/// Whether the result of `select` is the list that a sparse_fc1 reads, its fourth argument.
bool MakesList(const Launch& select, const Launch& fc1) { return IsSame(select.args.back(), fc1.args[3]); }

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

void MoveChoices(const std::vector<KernelSpec>& specs, const KernelTable& kernels, PlanFunction& function) {
  if (kernels.Find(kJointKernel) == nullptr) {
    return;
  }
  for (size_t fc1 = 0; fc1 < specs.size(); ++fc1) {
    if (specs[fc1].kernel != "sparse_fc1") {
      continue;
    }
    // The last one: earlier layers may keep their lists at the same place.
    size_t select = fc1;
    while (select > 0 &&
           !(specs[--select].kernel == "select" && MakesList(function.launches[select], function.launches[fc1]))) {
    }
    if (specs[select].kernel != "select" ||
        !kernels
             .Supports(
                 JointSpecOf({&function.launches[fc1], &function.launches[select]}, {&specs[fc1], &specs[select]}))
             .ok()) {
      continue;
    }
    for (Joint& joint : function.joints) {
      std::erase(joint.launches, static_cast<int64_t>(select));
    }
    std::erase_if(function.joints, [](const Joint& joint) { return joint.launches.size() < 2; });
    function.joints.push_back({{static_cast<int64_t>(fc1), static_cast<int64_t>(select)}, "", {}});
  }
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
  if (specs.size() == 2 && specs[0]->kernel == "sparse_fc1" && specs[1]->kernel == "select" &&
      MakesList(*launches[1], *launches[0])) {
    joint.attributes[kOwnList] = true;
  }
  return joint;
}

}  // namespace dejavu
