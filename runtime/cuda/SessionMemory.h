// What sessions of one sequence and of several share: where buffers are, and the launches of a prompt.
#ifndef DEJAVU_RUNTIME_CUDA_SESSIONMEMORY_H_
#define DEJAVU_RUNTIME_CUDA_SESSIONMEMORY_H_

#include <vector>

#include "runtime/cuda/CudaGemm.h"
#include "runtime/cuda/CudaModel.h"
#include "runtime/cuda/MemoryLayout.h"

namespace dejavu::cuda {

/// The addresses of a session's buffers: `layout` at `base`. All that it names must outlive it.
struct SessionMemory {
  const CudaModel& model;
  const Plan& plan;
  const SessionLayout& layout;
  DevicePointer base;

  [[nodiscard]] DevicePointer At(int64_t offset) const { return base + static_cast<DevicePointer>(offset); }
  [[nodiscard]] DevicePointer Arena() const { return At(layout.arena); }
  [[nodiscard]] DevicePointer Scratch(int64_t stream) const { return At(layout.scratch.at(stream)); }
  /// A cache is that of `sequence`; null for what is absent.
  [[nodiscard]] DevicePointer Address(const BufferRef& ref, int64_t sequence = 0) const;
  [[nodiscard]] GemmMemory Products() const;
};

/// Starts the launches one after the other; products of `tokens` tokens, unless they fix them, are `gemm`'s. The
/// device's context must be current.
[[nodiscard]] absl::Status LaunchPrompt(const CudaDevice& device, const std::vector<BoundLaunch>& launches,
                                        CudaGemm* gemm, int64_t tokens, StreamHandle stream);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_SESSIONMEMORY_H_
