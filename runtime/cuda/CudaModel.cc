#include "runtime/cuda/CudaModel.h"

#include <algorithm>

#include "ir/base/MappedFile.h"
#include "ir/base/Phases.h"
#include "ir/base/Status.h"
#include "runtime/cuda/CudaBatch.h"
#include "runtime/cuda/CudaMemoryMeter.h"
#include "runtime/cuda/CudaSession.h"
#include "runtime/cuda/GreedyLoop.h"
#include "runtime/cuda/WeightFill.h"
#include "runtime/cuda/WeightUpload.h"

namespace dejavu::cuda {
namespace {

// What a kernel surely gets without asking: 48 KiB, less what it declares itself.
constexpr int64_t kPlainSharedBytes = int64_t{32} * 1024;

absl::Status CheckShared(const LaunchGrid& grid, const CudaDevice& device) {
  return grid.shared <= device.max_shared_bytes()
             ? absl::OkStatus()
             : UserError("needs ", grid.shared, " bytes of shared memory a block, but ", device.name(), " has ",
                         device.max_shared_bytes());
}

/// What a function of a plan must be to run here with the code for `isa`, beyond what every plan is checked for.
absl::Status CheckFunction(const PlanFunction& function, const std::string& name, const std::string& isa,
                           const CudaDevice& device) {
  if (function.tokens.value != 0) {
    return UserError("field 'functions.", name, ".tokens' must be at the arena's start");
  }
  for (size_t i = 0; i < function.launches.size(); ++i) {
    const Launch& launch = function.launches[i];
    const std::string path = absl::StrCat("field 'functions.", name, ".launches[", i, "]'");
    if (launch.gemm.has_value() && SequencesOf(name) == 0) {
      RETURN_IF_ERROR(WithContext(CheckCudaGemm(*launch.gemm), path));
      continue;
    }
    const auto grid = launch.grids.find(isa);
    if (grid == launch.grids.end()) {
      return UserError(path, ": kernel '", launch.kernel, "' has no grid for ", isa);
    }
    RETURN_IF_ERROR(WithContext(CheckShared(grid->second, device), path));
  }
  for (size_t i = 0; i < function.joints.size(); ++i) {
    const auto grid = function.joints[i].grids.find(isa);
    if (grid != function.joints[i].grids.end()) {
      RETURN_IF_ERROR(
          WithContext(CheckShared(grid->second, device), absl::StrCat("field 'functions.", name, ".joints[", i, "]'")));
    }
  }
  return absl::OkStatus();
}

/// The functions that are run.
std::vector<std::string> Functions(const CudaModel& model, const Plan& plan) {
  std::vector<std::string> names;
  for (const auto& [name, function] : plan.functions) {
    if (SequencesOf(name) > 0 || (name == "prefill" && model.CanPrefill())) {
      names.push_back(name);
    }
  }
  return names;
}

std::string PlanPath(const ArtifactReader& artifact, const Plan& plan) {
  return artifact.FilePath(artifact.manifest().FindTarget(plan.target)->plan);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DeviceModel>> CudaModel::Load(const ArtifactReader& artifact, const Plan& plan,
                                                             const WeightOptions& options, int number) {
  ASSIGN_OR_RETURN(const Driver* driver, Driver::Get());
  ASSIGN_OR_RETURN(std::shared_ptr<const CudaDevice> device, CudaDevice::Open(*driver, number));
  std::unique_ptr<CudaModel> model(new CudaModel(std::move(device), artifact.manifest().model.vocab));
  const CudaDevice::Scope scope(model->device());
  RETURN_IF_ERROR(scope.status());
  model->OpenBlas(plan);
  RETURN_IF_ERROR(model->LoadKernels(artifact, plan));
  RETURN_IF_ERROR(artifact.is_synthetic() ? model->MakeWeights(artifact, plan)
                                          : model->LoadWeights(artifact, plan, options));
  return model;
}

void CudaModel::OpenBlas(const Plan& plan) {
  if (plan.FindFunction("prefill") == nullptr) {
    return;
  }
  absl::StatusOr<std::unique_ptr<const Blas>> blas = Blas::Create(*device_);
  if (blas.ok()) {
    blas_ = *std::move(blas);
  } else {
    no_blas_ = std::string(blas.status().message());
  }
}

absl::Status CudaModel::LoadKernels(const ArtifactReader& artifact, const Plan& plan) {
  const std::vector<std::string> isas = device_->Isas();
  ASSIGN_OR_RETURN(
      const CodeFile code,
      artifact.ChooseCode(plan.target,
                          {.name = device_->name(),
                           .isas = isas,
                           .advice = absl::StrCat("build the artifact again with --target=cuda:", isas.front())}));
  isa_ = code.isa;
  for (const std::string& name : Functions(*this, plan)) {
    RETURN_IF_ERROR(
        WithContext(CheckFunction(*plan.FindFunction(name), name, isa_, *device_), PlanPath(artifact, plan)));
  }
  const std::string path = artifact.FilePath(code.file);
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  ModuleHandle module = nullptr;
  RETURN_IF_ERROR(WithContext(device_->driver().ModuleLoadData(&module, file.data()), path));
  module_ = Module(*device_, module);
  return FindKernels(plan, path);
}

absl::Status CudaModel::FindKernels(const Plan& plan, const std::string& path) {
  std::map<std::string, int64_t> shared;  // the most that any launch of the symbol asks for
  bool has_gemm = false;
  for (const std::string& name : Functions(*this, plan)) {
    for (const Launch& launch : plan.FindFunction(name)->launches) {
      has_gemm = has_gemm || launch.gemm.has_value();
      if (!launch.gemm.has_value()) {
        shared[launch.symbol] = std::max(shared[launch.symbol], launch.grids.at(isa_).shared);
      }
    }
    for (const Joint& joint : plan.FindFunction(name)->joints) {
      const auto grid = joint.grids.find(isa_);
      if (grid != joint.grids.end()) {
        shared[joint.symbol] = std::max(shared[joint.symbol], grid->second.shared);
      }
    }
  }
  if (has_gemm) {
    ASSIGN_OR_RETURN(gemm_kernels_.round_to_f16, FindKernel(kRoundToF16Symbol, path));
    ASSIGN_OR_RETURN(gemm_kernels_.round_to_bf16, FindKernel(kRoundToBF16Symbol, path));
    ASSIGN_OR_RETURN(gemm_kernels_.finish_product, FindKernel(kFinishProductSymbol, path));
  }
  for (const auto& [symbol, bytes] : shared) {
    ASSIGN_OR_RETURN(FunctionHandle function, FindKernel(symbol, path));
    // A multiprocessor divides its memory between cache and shared memory anew only when nothing runs on it. Where all
    // kernels ask for the same, launches can overlap.
    RETURN_IF_ERROR(WithContext(device_->driver().FuncSetAttribute(function, kSharedCarveout, 100), symbol));
    if (bytes > kPlainSharedBytes) {
      RETURN_IF_ERROR(WithContext(
          device_->driver().FuncSetAttribute(function, kMaxDynamicSharedBytes, static_cast<int32_t>(bytes)), symbol));
    }
    functions_[symbol] = function;
  }
  if (plan.FindFunction("decode")->choice.kind == BufferRef::Kind::kAbsent) {
    return absl::OkStatus();
  }
  const absl::Status found = device_->driver().ModuleGetFunction(&advance_, module_.get(), kAdvanceSymbol);
  if (absl::IsNotFound(found)) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(WithContext(found, path));
  return WithContext(device_->driver().FuncSetAttribute(advance_, kSharedCarveout, 100), kAdvanceSymbol);
}

absl::StatusOr<FunctionHandle> CudaModel::FindKernel(const std::string& symbol, const std::string& path) const {
  FunctionHandle function = nullptr;
  const absl::Status found = device_->driver().ModuleGetFunction(&function, module_.get(), symbol.c_str());
  if (absl::IsNotFound(found)) {
    return UserError(path, ": has no kernel '", symbol, "', which the plan launches");
  }
  RETURN_IF_ERROR(WithContext(found, path));
  return function;
}

absl::Status CudaModel::LoadWeights(const ArtifactReader& artifact, const Plan& plan, const WeightOptions& options) {
  ASSIGN_OR_RETURN(const Weights weights, artifact.OpenWeights(plan, options, HashCheck::kByCaller));
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < weights.size(); ++i) {
    sizes.push_back(static_cast<int64_t>(weights.tensor(i).size()));
  }
  RETURN_IF_ERROR(AllocateWeights(artifact, plan, sizes));
  return UploadWeights(*device_, weights, layout_, weights_.get(), options);
}

absl::Status CudaModel::MakeWeights(const ArtifactReader& artifact, const Plan& plan) {
  ASSIGN_OR_RETURN(const std::vector<const SyntheticTensor*> tensors, artifact.SyntheticTensors(plan));
  FunctionHandle kernel = nullptr;
  const absl::Status found = device_->driver().ModuleGetFunction(&kernel, module_.get(), kFillSymbol);
  RETURN_IF_ERROR(WithContext(found, absl::StrCat(artifact.path(), ": the kernel '", kFillSymbol, "' for ", isa_)));
  std::vector<int64_t> sizes;
  for (const SyntheticTensor* tensor : tensors) {
    sizes.push_back(tensor->bytes());
  }
  RETURN_IF_ERROR(AllocateWeights(artifact, plan, sizes));
  return FillWeights(*device_, kernel, tensors, layout_, weights_.get());
}

absl::Status CudaModel::AllocateWeights(const ArtifactReader& artifact, const Plan& plan,
                                        const std::vector<int64_t>& sizes) {
  layout_ = LayOutWeights(sizes);
  const SessionLayout session = LayOutSession(plan, CanPrefill());
  ASSIGN_OR_RETURN(const CudaDevice::Memory memory, device_->QueryMemory());
  const MemoryNeed need = NeedOf(plan, sizes, artifact.manifest().model.layers, layout_, session);
  RETURN_IF_ERROR(WithContext(CheckFits(need, memory.free, memory.total, device_->name()), artifact.path()));
  ASSIGN_OR_RETURN(weights_, AllocateDevice(*device_, layout_.bytes, "the weights"));
  return absl::OkStatus();
}

std::string CudaModel::DeviceName(int /*threads*/) const {
  return no_blas_.empty() ? device_->name()
                          : absl::StrCat(device_->name(), " (prompts token by token: ", no_blas_, ")");
}

BoundLaunch CudaModel::Bind(const Launch& launch) const {
  BoundLaunch bound;
  if (!launch.gemm.has_value()) {
    bound = Bind(launch.symbol, launch.grids.at(isa_));
  }
  bound.launch = &launch;
  return bound;
}

BoundLaunch CudaModel::Bind(const Joint& joint) const { return Bind(joint.symbol, joint.grids.at(isa_)); }

BoundLaunch CudaModel::Bind(const std::string& symbol, const LaunchGrid& grid) const {
  BoundLaunch bound;
  const int64_t most = grid.per_sm * device_->multiprocessors();
  bound.symbol = symbol;
  bound.function = functions_.at(symbol);
  bound.blocks = static_cast<uint32_t>(grid.per_sm == 0 ? grid.blocks : std::min(grid.blocks, most));
  bound.threads = static_cast<uint32_t>(grid.threads);
  bound.shared_bytes = static_cast<uint32_t>(grid.shared);
  return bound;
}

absl::StatusOr<std::unique_ptr<DeviceSession>> CudaModel::NewSession(const Plan& plan, int /*threads*/) const {
  return CudaSession::Create(*this, plan);
}

absl::StatusOr<std::unique_ptr<DeviceBatch>> CudaModel::NewBatch(const Plan& plan, int64_t sequences,
                                                                 int /*threads*/) const {
  return CudaBatch::Create(*this, plan, sequences);
}

absl::StatusOr<std::unique_ptr<MemoryMeter>> CudaModel::NewMemoryMeter(size_t /*bytes*/, int /*threads*/) const {
  return CudaMemoryMeter::Create(*device_);
}

}  // namespace dejavu::cuda
