// sparse_fc1 with the choice of its rows: each block finds by itself which of the positive scores are its own, and has
// their rows in its ring before x is there.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_CHOSENFC1_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_CHOSENFC1_CUH_

#include "Select.cuh"
#include "SparseFc1.cuh"

namespace dejavu {

/// The positive or NaN ones of kCount scores. Each of kWarps warps takes a segment, a lane four scores at a time.
template <int kCount, int kWarps>
class PositiveScores {
 public:
  /// By all threads of the block together.
  __device__ explicit PositiveScores(const float* scores) {
    __shared__ int of_warps[kWarps];
    int mine = 0;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const unsigned bits = BitsOf(scores, FirstOf(step));
      bits_[step / 8] = (step % 8 == 0 ? 0 : bits_[step / 8]) | bits << step % 8 * 4;
      mine += __popc(bits);
    }
    const int of_warp = SumLanes(mine);
    if (Lane() == 0) {
      of_warps[Warp()] = of_warp;
    }
    __syncthreads();
    const int other = Lane() < kWarps ? of_warps[Lane()] : 0;
    count_ = SumLanes(other);
    before_ = SumLanes(Lane() < Warp() ? other : 0);
  }

  [[nodiscard]] __device__ int count() const { return count_; }

  /// Writes the numbers of those that come as number begin to end - 1 to their places in `numbers`.
  __device__ void Write(int begin, int end, int* numbers) const {
    const unsigned lower = (1U << Lane()) - 1;
    int before = before_;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const unsigned bits = bits_[step / 8] >> step % 8 * 4 & 0xF;
      int place = before;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const unsigned lanes = __ballot_sync(kAllLanes, (bits >> i & 1) != 0);
        place += __popc(lanes & lower);
        before += __popc(lanes);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if ((bits >> i & 1) != 0) {
          if (place >= begin && place < end) {
            numbers[place] = FirstOf(step) + i;
          }
          ++place;
        }
      }
    }
  }

 private:
  static constexpr int kSteps = CeilDiv(kCount, 128 * kWarps);
  static_assert(kWarps <= 32);

  /// The first of this lane's scores of a step.
  __device__ static int FirstOf(int step) { return (Warp() * kSteps + step) * 128 + Lane() * 4; }

  __device__ static unsigned BitsOf(const float* scores, int first) {
    float values[4] = {};
    if (first + 4 <= kCount) {
      const float4 quad = LoadQuad(scores, first);
      values[0] = quad.x;
      values[1] = quad.y;
      values[2] = quad.z;
      values[3] = quad.w;
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        values[i] = first + i < kCount ? LoadCoherent(scores + first + i) : 0;
      }
    }
    unsigned bits = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      bits |= values[i] <= 0 ? 0 : 1U << i;
    }
    return bits;
  }

  unsigned bits_[CeilDiv(kSteps, 8)];
  int count_;   ///< Of all.
  int before_;  ///< Of those in the segments of earlier warps.
};

/// Rows of a list that has `count` entries, of which the block has written its own.
template <int kRowBytes>
struct ChosenRows {
  static constexpr bool kEarly = true;

  const void* matrix;
  const int* list;
  int count;

  __device__ int Count() const { return count; }
  __device__ int Number(int entry) const { return LoadCoherent(list + kIndexEntries + entry); }
  __device__ const char* operator()(int entry) const {
    return static_cast<const char*>(matrix) + static_cast<long long>(Number(entry)) * kRowBytes;
  }
};

/// active index<active> of the positive ones of scores f32<1, kScores>, as SelectPositive, and h as SparseFc1. The
/// scores are there before the launches ahead have ended; the list is before this one lets the next start.
template <SparseFc1Shape kShape, int kScores>
__device__ inline void ChosenFc1(const void* x, const void* fc1, const void* bias, void* active, const void* gamma,
                                 const void* beta, void* h, const void* scores, const Dims* dims) {
  static_assert(kShape.tiling.slots > 0, "only rows of a ring are needed early");
  using Ring = RingGemv<FloatMath<kShape.dtype>, kShape.k, kShape.tiling>;
  auto* list = static_cast<int*>(active);
  const PositiveScores<kScores, kShape.tiling.threads / 32 + 1> positive(static_cast<const float*>(scores));
  const typename Ring::Share share = Ring::ShareOf(positive.count());
  positive.Write(share.begin, share.begin + share.rows, list + kIndexEntries);
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    *list = positive.count();
  }
  __threadfence();
  __syncthreads();
  const ChosenRows<kShape.k * Bytes(kShape.dtype)> rows = {fc1, list, positive.count()};
  MultiplyListed<kShape>(rows, x, bias, gamma, beta, h);
  static_cast<void>(dims);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_CHOSENFC1_CUH_
