// A cuBLASLt for the fake driver: its products run on the host, in the order of the fake's streams, and it can be told
// to fail.
#ifndef DEJAVU_TESTS_UNIT_CUDA_FAKEBLAS_H_
#define DEJAVU_TESTS_UNIT_CUDA_FAKEBLAS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/cuda/BlasTypes.h"

namespace dejavu::cuda::fake {

/// What the fake shall do wrong, and what it saw.
struct BlasState {
  // Call number `fail_at`, from 1, of the function `fail_function` gives `fail_result`.
  std::string fail_function;
  int64_t fail_at = 0;
  BlasResult fail_result = 0;
  bool has_epilogues = true;  // whether there are algorithms with bias and ReLU

  std::map<std::string, int64_t> calls_of;
  int64_t live = 0;  // handles and descriptors that were not destroyed
  std::vector<std::string> violations;
};

}  // namespace dejavu::cuda::fake

extern "C" {
/// The state of the loaded fake.
dejavu::cuda::fake::BlasState* FakeBlasState();
/// A healthy library again; the count of living objects stays.
void FakeBlasReset();
}

#endif  // DEJAVU_TESTS_UNIT_CUDA_FAKEBLAS_H_
