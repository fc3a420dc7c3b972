// argmax: the likeliest token, by one block; the logits are in the second-level cache, where the head left them.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_ARGMAX_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_ARGMAX_CUH_

#include "Common.cuh"

namespace dejavu {

struct ArgmaxShape {
  int tokens;
  int n;
  int threads;
};

/// A logit and its number, -1 for none.
struct Best {
  float logit;
  int number;
};

/// Of equal logits that with the lower number wins; -1 is the highest. So the order of comparisons doesn't matter.
__device__ inline Best Better(const Best& a, const Best& b) {
  const bool lower = static_cast<unsigned>(b.number) < static_cast<unsigned>(a.number);
  return b.logit > a.logit || (b.logit == a.logit && lower) ? b : a;
}

/// Infinity and NaN become infinity without a number, which nothing is better than; minus infinity is never chosen.
__device__ inline Best Candidate(float logit, int number) {
  const float infinity = __uint_as_float(0x7F800000);
  if (!(logit < infinity)) {
    return {infinity, -1};
  }
  return {logit, logit > -infinity ? number : -1};
}

template <int kWidth>
__device__ inline Best BestLane(Best best) {
#pragma unroll
  for (int offset = kWidth / 2; offset > 0; offset /= 2) {
    const Best other = {__shfl_xor_sync(kAllLanes, best.logit, offset),
                        __shfl_xor_sync(kAllLanes, best.number, offset)};
    best = Better(best, other);
  }
  return best;
}

/// By one block: the choice among the logits that `logits` points to.
template <ArgmaxShape kShape>
__device__ inline void ArgmaxOfToken(const float* logits, int* choice) {
  constexpr int kWarps = kShape.threads / 32;
  constexpr int kQuads = kShape.n / 4;
  static_assert(kShape.threads % 32 == 0 && kWarps <= 32);
  constexpr bool kAligned = kShape.tokens == 1 || kShape.n % 4 == 0;
  __shared__ Best bests[kWarps];
  const float none = __uint_as_float(0xFF800000);
  Best best = {none, -1};
#pragma unroll 4
  for (int quad = Thread(); quad < kQuads; quad += kShape.threads) {
    const float4 values = kAligned ? LoadQuad(logits, 4LL * quad)
                                   : float4{LoadCoherent(logits + 4 * quad), LoadCoherent(logits + 4 * quad + 1),
                                            LoadCoherent(logits + 4 * quad + 2), LoadCoherent(logits + 4 * quad + 3)};
    best = Better(best, Candidate(values.x, 4 * quad));
    best = Better(best, Candidate(values.y, 4 * quad + 1));
    best = Better(best, Candidate(values.z, 4 * quad + 2));
    best = Better(best, Candidate(values.w, 4 * quad + 3));
  }
  if (const int last = 4 * kQuads + Thread(); last < kShape.n) {
    best = Better(best, Candidate(LoadCoherent(logits + last), last));
  }
  best = BestLane<32>(best);
  if (Lane() == 0) {
    bests[Warp()] = best;
  }
  __syncthreads();
  if (Warp() == 0) {
    best = BestLane<32>(Lane() < kWarps ? bests[Lane()] : Best{none, -1});
    if (Lane() == 0) {
      *choice = best.number;
    }
  }
}

/// choice i32<tokens> of logits f32<tokens, n>.
template <ArgmaxShape kShape>
__device__ inline void Argmax(const void* logits, void* choice, const Dims*) {
  WaitForEarlier();
  for (int token = Block(); token < kShape.tokens; token += Blocks()) {
    ArgmaxOfToken<kShape>(static_cast<const float*>(logits) + static_cast<long long>(token) * kShape.n,
                          static_cast<int*>(choice) + token);
    __syncthreads();
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_ARGMAX_CUH_
