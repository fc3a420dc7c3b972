// Products of float matrices: by OpenBLAS, or by plain loops in a build without it.
#ifndef DEJAVU_IR_BASE_SGEMM_H_
#define DEJAVU_IR_BASE_SGEMM_H_

#include <cstdint>

namespace dejavu {

/// Sizes and buffers of c = a b, all row-major; strides are the distances of rows.
struct SgemmCall {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const float* a = nullptr;  // (m, k), or (k, m) if transposed
  int64_t a_stride = 0;
  bool a_transposed = false;
  const float* b = nullptr;  // (k, n), or (n, k) if transposed
  int64_t b_stride = 0;
  bool b_transposed = false;
  float* c = nullptr;  // (m, n), rows without gaps
  bool add = false;    // to what c holds
};

/// On the calling thread. Equal calls give equal bits.
void Sgemm(const SgemmCall& call);

/// Keeps the library from starting threads of its own. For the whole process.
void UseSerialSgemm();

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_SGEMM_H_
