// advance: makes the chosen token the next one. It is no launch of a plan: the runtime puts it behind the launches of a
// token, so that the device decodes the next token without the host.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_ADVANCE_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_ADVANCE_CUH_

#include "Common.cuh"

namespace dejavu {

/// What the launches of a token start from. The runtime has the same struct.
struct Control {
  Dims dims;
  int token;
};

/// `choices` has an entry for each position; the host reads it. Where there is no choice, -1 goes there and the device
/// continues with token 0 until the host stops it.
__device__ inline void Advance(const int* choice, Control* control, int* choices) {
  WaitForEarlier();
  if (threadIdx.x == 0) {
    const int token = *choice;
    choices[control->dims.past] = token;
    control->token = token < 0 ? 0 : token;
    control->dims.past += 1;
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_ADVANCE_CUH_
