// The toy model for the fake driver.
#ifndef DEJAVU_TESTS_UNIT_CUDA_TOYCUDAMODEL_H_
#define DEJAVU_TESTS_UNIT_CUDA_TOYCUDAMODEL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/artifact/Plan.h"

namespace dejavu::toy {

/// The toy model's plan with grids, for decoding only; its launches are embed, mix, test, compact, fc1, fc2, head and
/// argmax. Every kernel but `mix` may start early; `compact` has scratch memory.
[[nodiscard]] Plan MakeCudaPlan();
/// The same with "prefill": embed, mix, three products, and last_row in front of the third.
[[nodiscard]] Plan MakeCudaPrefillPlan();

/// Writes the artifact `path` for the target cuda, with the code for all of `isas`.
[[nodiscard]] absl::Status WriteCudaArtifact(const std::string& path, const Plan& plan = MakeCudaPlan(),
                                             const std::vector<std::string>& isas = {"sm_80", "sm_90"});

/// The same for the targets cpu and cuda, with the weights of toy::SyntheticTensors().
[[nodiscard]] absl::Status WriteSyntheticArtifact(const std::string& path);

}  // namespace dejavu::toy

#endif  // DEJAVU_TESTS_UNIT_CUDA_TOYCUDAMODEL_H_
