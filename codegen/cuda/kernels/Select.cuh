// select: the numbers of the positive scores, or of the k largest, by one block.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SELECT_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SELECT_CUH_

#include "ListWriter.cuh"

namespace dejavu {

struct SelectShape {
  int tokens;  ///< Whose choices are united; for the k largest there is one.
  int n;
  int k;  ///< 0: the positive ones.
  int threads;
};

/// The first of the eight scores that the thread has in a round.
template <SelectShape kShape>
__device__ inline int FirstScore(int round) {
  return 8 * (round * kShape.threads + Thread());
}

/// Eight scores from `first` on, zeros past the end; returns how many there are.
template <SelectShape kShape>
__device__ inline int LoadScores(const float* scores, int first, float (&values)[8]) {
  constexpr bool kAligned = kShape.tokens == 1 || kShape.n % 4 == 0;
  const int count = min(max(kShape.n - first, 0), 8);
  if (kAligned && count == 8) {
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
      const float4 quad = LoadQuad(scores, first + i);
      values[i] = quad.x;
      values[i + 1] = quad.y;
      values[i + 2] = quad.z;
      values[i + 3] = quad.w;
    }
  } else {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      values[i] = i < count ? LoadCoherent(scores + first + i) : 0;
    }
  }
  return count;
}

/// Calls body(first, scores, count) for each round; all threads of the block make the same rounds.
template <SelectShape kShape, typename Body>
__device__ inline void ForScores(const float* scores, Body body) {
  for (int round = 0; round < CeilDiv(kShape.n, 8 * kShape.threads); ++round) {
    const int first = FirstScore<kShape>(round);
    float values[8];
    const int count = LoadScores<kShape>(scores, first, values);
    body(first, values, count);
  }
}

/// Bit i is set if score number FirstScore(round) + i of some token is positive or NaN.
template <SelectShape kShape>
__device__ inline unsigned PositiveScores(const float* scores, int round) {
  unsigned positive = 0;
#pragma unroll
  for (int token = 0; token < kShape.tokens; ++token) {
    float values[8];
    LoadScores<kShape>(scores + static_cast<long long>(token) * kShape.n, FirstScore<kShape>(round), values);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      positive |= values[i] <= 0 ? 0 : 1U << i;  // what is not there is 0
    }
  }
  return positive;
}

/// list index<...> of what has a positive or NaN score among f32<tokens, n>, ascending.
template <SelectShape kShape>
__device__ inline void SelectPositive(const void* scores, void* list, const Dims*, const Grid& grid = Grid()) {
  WaitForEarlier();
  if (grid.block > 0) {
    return;
  }
  // The scores of so many rounds are on their way before the threads meet.
  constexpr int kRounds = CeilDiv(kShape.n, 8 * kShape.threads);
  constexpr int kAtOnce = kRounds < 8 ? kRounds : 8;
  ListWriter<kShape.threads> writer(list);
#pragma unroll 1
  for (int first = 0; first < kRounds; first += kAtOnce) {
    unsigned chosen[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      chosen[i] = PositiveScores<kShape>(static_cast<const float*>(scores), first + i);
    }
    writer.Append(FirstScore<kShape>(first), 8 * kShape.threads, chosen);
  }
  writer.Finish();
}

/// A number that is ordered as the scores are: zeros are equal, NaN is above infinity.
__device__ inline unsigned RankOf(float score) {
  const unsigned bits = __float_as_uint(score + 0.0F);  // -0 + 0 is 0
  return score != score ? 0xFFFFFFFF : bits ^ ((bits >> 31) != 0 ? 0xFFFFFFFF : 0x80000000);
}

/// The rank of the k-th largest score, and in `ties` how many of the scores of that rank are among the k. A digit of
/// the rank at a time: counts of the scores that agree in the digits before say which digit comes next.
template <SelectShape kShape>
__device__ inline unsigned ThresholdRank(const float* scores, int& ties) {
  constexpr int kDigitBits = 8;
  constexpr int kDigits = 1 << kDigitBits;
  __shared__ int counts[kDigits];
  __shared__ unsigned found;
  __shared__ int still;
  unsigned rank = 0;
  ties = kShape.k;
#pragma unroll 1
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    for (int i = Thread(); i < kDigits; i += kShape.threads) {
      counts[i] = 0;
    }
    __syncthreads();
    ForScores<kShape>(scores, [&](int, const float* values, int count) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const unsigned other = RankOf(values[i]);
        // Shifts by 32 are not defined, so by the digit first.
        const bool agrees = (other >> shift >> kDigitBits) == (rank >> shift >> kDigitBits);
        if (i < count && agrees) {
          atomicAdd(&counts[other >> shift & (kDigits - 1)], 1);
        }
      }
    });
    __syncthreads();
    if (Warp() == 0) {
      // Lane 31 has the largest digits; a lane's sum counts all above its own.
      constexpr int kOfLane = kDigits / 32;
      int mine = 0;
      for (int i = 0; i < kOfLane; ++i) {
        mine += counts[Lane() * kOfLane + i];
      }
      int from = mine;  // of this lane's digits and those above
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const int other = __shfl_down_sync(kAllLanes, from, offset);
        from += Lane() + offset < 32 ? other : 0;
      }
      int above = from - mine;
      if (above < ties && from >= ties) {
        int digit = Lane() * kOfLane + kOfLane - 1;
        for (; above + counts[digit] < ties; --digit) {
          above += counts[digit];
        }
        found = rank | static_cast<unsigned>(digit) << shift;
        still = ties - above;
      }
    }
    __syncthreads();
    rank = found;
    ties = still;
    __syncthreads();
  }
  return rank;
}

/// list index<...> of the k largest scores, ascending; of equal ones the first.
template <SelectShape kShape>
__device__ inline void SelectLargest(const void* scores, void* list, const Dims*) {
  WaitForEarlier();
  const auto* all = static_cast<const float*>(scores);
  int ties = 0;
  const unsigned threshold = ThresholdRank<kShape>(all, ties);
  ListWriter<kShape.threads> writer(list);
  int before = 0;  // scores of the threshold's rank in earlier rounds
  ForScores<kShape>(all, [&](int first, const float* values, int count) {
    unsigned above = 0;
    unsigned equal = 0;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const unsigned rank = RankOf(values[i]);
      above |= i < count && rank > threshold ? 1U << i : 0;
      equal |= i < count && rank == threshold ? 1U << i : 0;
    }
    int of_round = 0;
    int taken = before + SumOfThreadsBefore<kShape.threads>(__popc(equal), of_round);
    before += of_round;
    unsigned chosen = above;
    for (; equal != 0 && taken < ties; ++taken) {
      chosen |= equal & (~equal + 1);  // the lowest bit
      equal &= equal - 1;
    }
    writer.Append(first, chosen);
  });
  writer.Finish();
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SELECT_CUH_
