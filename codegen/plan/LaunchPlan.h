// From [sched] to what a target's runtime executes: the launch plan and the list of kernels to compile.
#ifndef DEJAVU_CODEGEN_PLAN_LAUNCHPLAN_H_
#define DEJAVU_CODEGEN_PLAN_LAUNCHPLAN_H_

#include <vector>

#include "codegen/target/Target.h"
#include "ir/core/Module.h"
#include "runtime/artifact/Plan.h"

namespace dejavu {

/// What one target needs of a module at [sched] whose buffers are planned.
struct LaunchPlan {
  Plan plan;                           // plan-<target>.json
  std::vector<KernelSpec> kernels;     // of all launches, in order, repetitions included
  std::vector<const Weight*> weights;  // in the order of plan.weights; owned by the module
};

/// Lowers `module` for `target`. An error if the module is not at [sched], its buffers are not planned, or the target's
/// kernel table does not support a launch; it names the launch.
[[nodiscard]] absl::StatusOr<LaunchPlan> MakeLaunchPlan(const Module& module, const Target& target);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_PLAN_LAUNCHPLAN_H_
