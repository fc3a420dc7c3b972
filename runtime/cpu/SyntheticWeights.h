// The weights of synthetic models in the host's memory.
#ifndef DEJAVU_RUNTIME_CPU_SYNTHETICWEIGHTS_H_
#define DEJAVU_RUNTIME_CPU_SYNTHETICWEIGHTS_H_

#include <vector>

#include "absl/status/statusor.h"
#include "runtime/artifact/ArtifactReader.h"

namespace dejavu {

/// Fills memory with `tensors`, by all cores. Too little memory is a user error. `progress` may be null.
[[nodiscard]] absl::StatusOr<Weights> MakeSyntheticWeights(const std::vector<const SyntheticTensor*>& tensors,
                                                           const HashProgress& progress);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_SYNTHETICWEIGHTS_H_
