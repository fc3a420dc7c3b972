#include "runtime/cpu/CpuModel.h"

#include "ir/base/Sgemm.h"
#include "ir/base/Status.h"
#include "runtime/cpu/CpuBatch.h"
#include "runtime/cpu/CpuFeatures.h"
#include "runtime/cpu/CpuMemoryMeter.h"
#include "runtime/cpu/CpuSession.h"
#include "runtime/cpu/SyntheticWeights.h"

namespace dejavu {
namespace {

absl::StatusOr<Weights> ReadWeights(const ArtifactReader& artifact, const Plan& plan, const WeightOptions& options) {
  if (!artifact.is_synthetic()) {
    return artifact.OpenWeights(plan, options);
  }
  ASSIGN_OR_RETURN(const std::vector<const SyntheticTensor*> tensors, artifact.SyntheticTensors(plan));
  return MakeSyntheticWeights(tensors, options.progress);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceModel>> CpuModel::Load(const ArtifactReader& artifact, const Plan& plan,
                                                            const WeightOptions& options) {
  ASSIGN_OR_RETURN(const CodeFile code,
                   artifact.ChooseCode(plan.target, {.name = "this processor",
                                                     .isas = SupportedIsas(),
                                                     .advice = "build the artifact again for this processor"}));
  ASSIGN_OR_RETURN(KernelLibrary kernels, KernelLibrary::Load(artifact.FilePath(code.file)));
  ASSIGN_OR_RETURN(Weights weights, ReadWeights(artifact, plan, options));
  UseSerialSgemm();
  return std::unique_ptr<DeviceModel>(
      new CpuModel(std::move(weights), std::move(kernels), code.isa, artifact.manifest().model.vocab));
}

std::string CpuModel::DeviceName(int threads) const {
  return absl::StrCat(CpuName(), ", ", threads, threads == 1 ? " thread" : " threads");
}

absl::StatusOr<std::unique_ptr<DeviceSession>> CpuModel::NewSession(const Plan& plan, int threads) const {
  return CpuSession::Create(*this, plan, threads);
}

absl::StatusOr<std::unique_ptr<DeviceBatch>> CpuModel::NewBatch(const Plan& plan, int64_t sequences,
                                                                int threads) const {
  return CpuBatch::Create(*this, plan, sequences, threads);
}

absl::StatusOr<std::unique_ptr<MemoryMeter>> CpuModel::NewMemoryMeter(size_t bytes, int threads) const {
  return CpuMemoryMeter::Create(bytes, threads);
}

}  // namespace dejavu
