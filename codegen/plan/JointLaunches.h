// Which launches of a plan run as one kernel.
#ifndef DEJAVU_CODEGEN_PLAN_JOINTLAUNCHES_H_
#define DEJAVU_CODEGEN_PLAN_JOINTLAUNCHES_H_

#include <vector>

#include "codegen/target/KernelTable.h"
#include "ir/verify/StreamOrder.h"
#include "runtime/artifact/Plan.h"

namespace dejavu {

/// A joint kernel's launches, the one of stream 0 first, and what it is.
struct JointLaunches {
  std::vector<size_t> launches;
  KernelSpec spec;
};

/// Streams let launches run side by side, but where they part and meet, nothing runs for a while. So each launch of
/// another stream becomes a part of a launch of stream 0: the first one that comes after all that it follows and before
/// all that follow it, and with which `kernels` has a joint kernel. Others stay on their streams. `specs` are those of
/// `launches`; `order` says which launches certainly follow which, so launches in one joint share no bytes.
[[nodiscard]] std::vector<JointLaunches> JoinLaunches(const std::vector<Launch>& launches,
                                                      const std::vector<KernelSpec>& specs, const StreamOrder& order,
                                                      const KernelTable& kernels);

/// The joint kernel's spec; `launches` and `specs` are those of its parts.
[[nodiscard]] KernelSpec JointSpecOf(const std::vector<const Launch*>& launches,
                                     const std::vector<const KernelSpec*>& specs);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_PLAN_JOINTLAUNCHES_H_
