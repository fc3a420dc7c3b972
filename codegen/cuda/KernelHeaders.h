// The sources of the CUDA kernels, as text.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELHEADERS_H_
#define DEJAVU_CODEGEN_CUDA_KERNELHEADERS_H_

#include <vector>

namespace dejavu {

struct KernelHeader {
  const char* name;  ///< As #include names it.
  const char* text;
};

/// All files of codegen/cuda/kernels.
[[nodiscard]] const std::vector<KernelHeader>& KernelHeaders();

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELHEADERS_H_
