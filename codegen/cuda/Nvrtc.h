// NVRTC, NVIDIA's compiler as a library, loaded when it is first needed: a build without CUDA compiles for all else.
#ifndef DEJAVU_CODEGEN_CUDA_NVRTC_H_
#define DEJAVU_CODEGEN_CUDA_NVRTC_H_

#include <string>
#include <string_view>

#include "ir/base/Status.h"

namespace dejavu {

/// OK, or a user error that says what to install.
[[nodiscard]] absl::Status CheckNvrtc();

enum class CudaOutput { kCubin, kPtx };

/// Compiles a translation unit, which may include the kernels' headers, for `isa` such as "sm_90". A user error without
/// NVRTC; a bug with the compiler's messages if the source is refused, as nobody but DejaVu wrote it. Equal input gives
/// equal bytes.
[[nodiscard]] absl::StatusOr<std::string> CompileCuda(const std::string& source, std::string_view isa,
                                                      CudaOutput output);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_NVRTC_H_
