#include "runtime/engine/Model.h"

#include "ir/base/Status.h"
#include "runtime/cpu/CpuModel.h"
#include "runtime/cuda/CudaModel.h"
#include "runtime/device/DeviceName.h"

namespace dejavu {

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(const std::string& path, const ModelOptions& options) {
  ASSIGN_OR_RETURN(const DeviceName device, ParseDeviceName(options.device));
  ASSIGN_OR_RETURN(ArtifactReader artifact, ArtifactReader::Open(path));
  ASSIGN_OR_RETURN(Plan plan, artifact.ReadPlan(device.kind));
  auto loaded = device.kind == "cuda" ? cuda::CudaModel::Load(artifact, plan, options.weights, device.number)
                                      : CpuModel::Load(artifact, plan, options.weights);
  if (!loaded.ok()) {
    return std::move(loaded).status();
  }
  return std::shared_ptr<const Model>(new Model(std::move(artifact), std::move(plan), *std::move(loaded)));
}

}  // namespace dejavu
