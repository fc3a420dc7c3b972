#include <cblas.h>

#include "ir/base/Sgemm.h"

namespace dejavu {

void Sgemm(const SgemmCall& call) {
  const auto size = [](int64_t value) { return static_cast<int>(value); };
  cblas_sgemm(CblasRowMajor, call.a_transposed ? CblasTrans : CblasNoTrans,
              call.b_transposed ? CblasTrans : CblasNoTrans, size(call.m), size(call.n), size(call.k), 1.0F, call.a,
              size(call.a_stride), call.b, size(call.b_stride), call.add ? 1.0F : 0.0F, call.c, size(call.n));
}

void UseSerialSgemm() { openblas_set_num_threads(1); }

}  // namespace dejavu
