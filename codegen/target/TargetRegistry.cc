#include "codegen/target/TargetRegistry.h"

#include "codegen/cpu/CpuBackend.h"
#include "codegen/cuda/CudaBackend.h"

namespace dejavu {

const std::vector<const Target*>& Targets() {
  // A target is one folder and one line here.
  static const std::vector<const Target*> targets = {&CpuBackend(), &CudaBackend()};
  return targets;
}

absl::StatusOr<const Target*> FindTarget(std::string_view name) {
  std::string known;
  for (const Target* target : Targets()) {
    if (target->name() == name) {
      return target;
    }
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(target->name()));
  }
  return UsageError("unknown target '", std::string(name), "'; known: ", known);
}

}  // namespace dejavu
