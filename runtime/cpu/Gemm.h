// The builtin matrix product of prefill: a product of floats on panels of weights, widened to float one panel at a
// time.
#ifndef DEJAVU_RUNTIME_CPU_GEMM_H_
#define DEJAVU_RUNTIME_CPU_GEMM_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/artifact/Plan.h"

namespace dejavu {

/// The buffers of one product; all row-major.
struct GemmCall {
  const float* x = nullptr;         // (tokens, k)
  const void* w = nullptr;          // (n, k), or (k, n) if transposed, in the spec's dtype
  const float* bias = nullptr;      // (n), or null
  const float* residual = nullptr;  // (tokens, n), or null; may be y itself
  float* y = nullptr;               // (tokens, n); must not overlap x
  int64_t tokens = 0;
};

/// Floats of scratch space that each thread needs for products of `spec` with up to `max_tokens` tokens.
[[nodiscard]] size_t GemmScratchFloats(const GemmSpec& spec, int64_t max_tokens);

/// Computes this thread's share of y = act(x w^T + bias) + residual. Which thread computes an element does not change
/// it, so results don't depend on `threads`. UseSerialSgemm() must have been called.
void RunGemm(const GemmSpec& spec, const GemmCall& call, int thread, int threads, std::span<float> scratch);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_GEMM_H_
