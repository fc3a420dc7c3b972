// One call of a kernel on a GPU, with guards around its buffers.
#ifndef DEJAVU_TESTS_CONFORMANCE_CUDACALL_H_
#define DEJAVU_TESTS_CONFORMANCE_CUDACALL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/artifact/Plan.h"
#include "runtime/cuda/CudaDevice.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {

struct CudaCall {
  cuda::FunctionHandle function = nullptr;
  LaunchGrid grid;
  int64_t blocks = 1;    // at most grid.blocks
  int64_t shift = 0;     // bytes from each buffer's start to the multiple of 256 before it; a multiple of 64
  int64_t launches = 1;  // one after the other on the same memory
};

/// The arguments after the call. Around and between all buffers lie bytes of 0xFF, which read as NaN and -1; it is an
/// error if one of them changes, or if the counters of the scratch memory are not zero at the end.
[[nodiscard]] absl::StatusOr<std::vector<Argument>> CallOnDevice(const cuda::CudaDevice& device, const CudaCall& call,
                                                                 const Problem& problem);

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_CUDACALL_H_
