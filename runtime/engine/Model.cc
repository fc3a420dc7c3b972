#include "runtime/engine/Model.h"

#include <algorithm>

#include "ir/base/Status.h"
#include "runtime/cpu/CpuFeatures.h"
#include "runtime/cpu/Gemm.h"

namespace dejavu {
namespace {

/// "cpu" or "cuda", of "cpu", "cuda" and "cuda:N".
absl::StatusOr<std::string> DeviceKind(const std::string& device) {
  const std::string prefix = "cuda:";
  const bool numbered =
      device.starts_with(prefix) && device.size() > prefix.size() && device.size() < prefix.size() + 6 &&
      std::all_of(
          device.begin() + static_cast<int>(prefix.size()), device.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (device == "cpu") {
    return device;
  }
  if (device == "cuda" || numbered) {
    return std::string("cuda");
  }
  return UsageError("unknown device '", device, "'; use cpu, cuda or cuda:N");
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(const std::string& path, const ModelOptions& options) {
  ASSIGN_OR_RETURN(const std::string device, DeviceKind(options.device));
  ASSIGN_OR_RETURN(ArtifactReader artifact, ArtifactReader::Open(path));
  if (device == "cuda") {
    return UserError(artifact.path(), artifact.manifest().FindTarget(device) == nullptr
                                          ? ": there is no CUDA target in this artifact; use --device=cpu"
                                          : ": this program was built without the CUDA runtime; use --device=cpu");
  }
  ASSIGN_OR_RETURN(Plan plan, artifact.ReadPlan(device));
  ASSIGN_OR_RETURN(const CodeFile code, artifact.ChooseCode(device, SupportedIsas()));
  ASSIGN_OR_RETURN(KernelLibrary kernels, KernelLibrary::Load(artifact.FilePath(code.file)));
  ASSIGN_OR_RETURN(Weights weights, artifact.OpenWeights(plan, options.weights));
  UseSerialBlas();
  return std::shared_ptr<const Model>(
      new Model(std::move(artifact), std::move(plan), std::move(weights), std::move(kernels), code.isa));
}

Model::Model(ArtifactReader artifact, Plan plan, Weights weights, KernelLibrary kernels, std::string isa)
    : artifact_(std::move(artifact)),
      plan_(std::move(plan)),
      weights_(std::move(weights)),
      kernels_(std::move(kernels)),
      isa_(std::move(isa)) {}

}  // namespace dejavu
