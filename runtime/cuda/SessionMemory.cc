#include "runtime/cuda/SessionMemory.h"

#include "ir/base/Status.h"
#include "runtime/cuda/KernelLaunch.h"

namespace dejavu::cuda {

DevicePointer SessionMemory::Address(const BufferRef& ref, int64_t sequence) const {
  const auto index = static_cast<size_t>(ref.value);
  switch (ref.kind) {
    case BufferRef::Kind::kAbsent:
      return 0;
    case BufferRef::Kind::kArena:
      return At(layout.arena + ref.value);
    case BufferRef::Kind::kWeight:
      return model.weight(index);
    case BufferRef::Kind::kCache:
      return At(layout.caches[index] + sequence * plan.caches[index].bytes);
  }
  return 0;
}

GemmMemory SessionMemory::Products() const {
  return {At(layout.rounded), At(layout.workspace), layout.workspace_bytes};
}

absl::Status LaunchPrompt(const CudaDevice& device, const std::vector<BoundLaunch>& launches, CudaGemm* gemm,
                          int64_t tokens, StreamHandle stream) {
  for (const BoundLaunch& bound : launches) {
    if (!bound.launch->gemm.has_value()) {
      RETURN_IF_ERROR(LaunchOnStream(device, bound, stream));
      continue;
    }
    const GemmSpec& spec = *bound.launch->gemm;
    const CudaGemmCall call = {.x = bound.params[0],
                               .w = bound.params[1],
                               .bias = bound.params[2],
                               .residual = bound.params[3],
                               .y = bound.params[4],
                               .tokens = spec.tokens != 0 ? spec.tokens : tokens};
    RETURN_IF_ERROR(gemm->Run(spec, call, stream));
  }
  return absl::OkStatus();
}

}  // namespace dejavu::cuda
