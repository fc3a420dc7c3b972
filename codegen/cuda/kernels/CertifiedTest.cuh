// certified_test: which neurons are certain not to be positive, from an int8 copy of their weights.
//
// The numbers and the proof are those of the CPU's kernel (codegen/cpu/EmitCertifiedTest.cc): the same step, the same
// int16 n = round(x / step), the same margin. What differs:
// - q.n is computed as 256 (q.high) + q.low with n = 256 high + low, high = floor(n / 256) a signed byte and low an
//   unsigned one. All of it is modulo 2^32; |n| <= kLevels <= (2^31 - 1) / (128 k) keeps |q.n| < 2^31, so the result is
//   exact all the same.
// - Sums of squares are added in another order. A float sum of k non-negative terms is right to a factor 1 + k u in any
//   order, which is what the proof uses.
// - Products and sums may be contracted to one operation, which rounds less often than the proof counts.
// It needs divisions and roots that are rounded correctly and denormals that are kept: the compiler's defaults.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_CERTIFIEDTEST_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_CERTIFIEDTEST_CUH_

#include "Gemv.cuh"

namespace dejavu {

struct CertifiedTestShape {
  int n;
  int k;
  GemvTiling tiling;
};

/// The arithmetic of a Gemv over rows of int8 and a vector of int16. Rows of 16 n bytes are read by 16 bytes, others
/// by 8.
template <int kWidth>
struct Int8Math {
  static constexpr int kLoad = kWidth % 16 == 0 ? 16 : 8;
  static constexpr int kSegment = 32 * kLoad;
  static constexpr int kElementBytes = 1;
  static constexpr int kSums = 1;
  /// Bytes of the vector's high bytes in shared memory; the low bytes follow.
  static constexpr int kPlane = CeilDiv(kWidth, kSegment) * kSegment;
  template <bool kWide, typename Wide, typename Narrow>
  struct Choose {
    using Type = Wide;
  };
  template <typename Wide, typename Narrow>
  struct Choose<false, Wide, Narrow> {
    using Type = Narrow;
  };
  using Load = typename Choose<kLoad == 16, uint4, uint2>::Type;
  using Sum = unsigned;
  struct Operand {
    Load high;
    Load low;
  };

  __device__ static unsigned* Plane(int plane) {
    return static_cast<unsigned*>(DynamicShared()) + plane * (kPlane / 4);
  }

  __device__ static Operand Read(int segment) {
    const int at = segment * 32 + Lane();
    return {reinterpret_cast<const Load*>(Plane(0))[at], reinterpret_cast<const Load*>(Plane(1))[at]};
  }

  __device__ static Sum MultiplyAdd(const Load& q, const Operand& n, Sum sum) {
    unsigned high = DotSigned(q.y, n.high.y, DotSigned(q.x, n.high.x, 0));
    if constexpr (kLoad == 16) {
      high = DotSigned(q.w, n.high.w, DotSigned(q.z, n.high.z, high));
    }
    sum = DotUnsigned(q.y, n.low.y, DotUnsigned(q.x, n.low.x, sum + 256 * high));
    if constexpr (kLoad == 16) {
      sum = DotUnsigned(q.w, n.low.w, DotUnsigned(q.z, n.low.z, sum));
    }
    return sum;
  }
};

/// What the test needs of x: the step, the norms of x and of its rounding error, and 2^e that undoes the scaling.
struct CertifiedInput {
  float step;
  float norm;
  float error;
  float up;
};

/// The bits of the largest |x[i]|; they are ordered as the numbers are, NaN above infinity.
template <CertifiedTestShape kShape>
__device__ inline unsigned LargestBits(const float* x) {
  constexpr int kWarps = kShape.tiling.threads / 32;
  __shared__ unsigned of_warps[kWarps];
  unsigned largest = 0;
#pragma unroll 2
  for (int quad = Thread(); quad < kShape.k / 4; quad += kShape.tiling.threads) {
    const float4 v = LoadQuad(x, 4 * quad);
    largest = max(max(largest, __float_as_uint(fabsf(v.x))), __float_as_uint(fabsf(v.y)));
    largest = max(max(largest, __float_as_uint(fabsf(v.z))), __float_as_uint(fabsf(v.w)));
  }
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    largest = max(largest, __shfl_xor_sync(kAllLanes, largest, offset));
  }
  if (Lane() == 0) {
    of_warps[Warp()] = largest;
  }
  __syncthreads();
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) {
    largest = max(largest, of_warps[warp]);
  }
  return largest;
}

/// Fills the planes with round(x / step), padded by zeros.
template <CertifiedTestShape kShape>
__device__ inline CertifiedInput Quantize(const float* x, unsigned largest) {
  using Math = Int8Math<kShape.k>;
  constexpr int kThreads = kShape.tiling.threads;
  constexpr int kMostLevels = 0x7FFFFFFF / (128 * kShape.k);
  constexpr float kLevels = kMostLevels < 32767 ? kMostLevels : 32767;
  const unsigned exponent = min(max(largest >> 23, 1U), 253U);
  const float down = __uint_as_float((254 - exponent) << 23);
  const float scaled = largest == 0 ? 1 : __uint_as_float(largest) * down;
  const float step = scaled / kLevels;
  const float inverse = kLevels / scaled;
  float squares = 0;
  float error_squares = 0;
#pragma unroll 1
  for (int quad = Thread(); quad < Math::kPlane / 4; quad += kThreads) {
    unsigned high = 0;
    unsigned low = 0;
    if (4 * quad < kShape.k) {
      const float4 v = LoadQuad(x, 4 * quad);
      const float values[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float value = values[i] * down;
        const float n = rintf(value * inverse);
        const float d = fmaf(-n, step, value);
        squares = fmaf(value, value, squares);
        error_squares = fmaf(d, d, error_squares);
        const auto bits = static_cast<unsigned>(static_cast<int>(n));
        high |= (bits >> 8 & 0xFF) << 8 * i;
        low |= (bits & 0xFF) << 8 * i;
      }
    }
    Math::Plane(0)[quad] = high;
    Math::Plane(1)[quad] = low;
  }
  __shared__ float sums[kThreads / 32];
  __shared__ float error_sums[kThreads / 32];
  // Rounded up: a float sum of k squares is right to a factor 1 + k u, and computing d was off by at most 2u |x|.
  constexpr float kRoundUp = 1 + (kShape.k + 16) * 0x1p-23F;
  const float norm = sqrtf(SumBlock<kThreads>(squares, sums)) * kRoundUp;
  const float error = sqrtf(SumBlock<kThreads>(error_squares, error_sums)) * kRoundUp + norm * 0x1p-21F;
  return {step, norm, error, __uint_as_float(exponent << 23)};
}

/// `row` is (scale, residual_norm, norm, bias).
template <int kWidth>
__device__ inline bool MaybePositive(const CertifiedInput& input, const float4& row, int dot) {
  constexpr float kGamma = (kWidth + 8) * 0x1p-23F;
  constexpr float kSlack = 1 + 0x1p-18F;
  constexpr auto kGammaSlack = static_cast<float>((kWidth + 8) * 0x1p-23 * (1 + 0x1p-18));
  constexpr float kTiny = 0x1p-120F;
  const float magnitude = fabsf(row.w);
  const float margin = row.y * (input.norm + input.error) + row.z * (input.error + input.norm * kGamma);
  const float sum = row.x * input.step * static_cast<float>(dot) + margin * kSlack;
  const float total = sum * input.up + (row.w + (magnitude * kGammaSlack + kTiny));
  const bool scale_ok = (row.x >= 0x1p-80F && row.z <= 0x1p80F) || row.z == 0;
  const bool sum_ok = row.z * input.norm * input.up + magnitude < 0x1p120F;
  return !(total < 0 && scale_ok && sum_ok);
}

/// flags u8<n> from x f32<1, k>, q8 i8<n, k> and rows f32<n, 4>.
template <CertifiedTestShape kShape>
__device__ inline void CertifiedTest(const void* x, const void* q8, const void* rows, void* flags, const Dims*) {
  using Math = Int8Math<kShape.k>;
  const auto row_at = [&](int row) { return static_cast<const char*>(q8) + static_cast<long long>(row) * kShape.k; };
  Gemv<Math, kShape.k, kShape.tiling> gemv;
  static_assert(decltype(gemv)::kChunks == 1, "shared memory holds all of x");
  gemv.Start(kShape.n, row_at);
  WaitForEarlier();
  LetNextStart();
  auto* flag = static_cast<unsigned char*>(flags);
  const unsigned largest = LargestBits<kShape>(static_cast<const float*>(x));
  if (largest >= 0x7F800000) {
    const GridShare share = ShareOfGrid();
    for (long long i = share.begin; i < kShape.n; i += share.step) {
      flag[i] = 1;
    }
    return;
  }
  __shared__ CertifiedInput input;
  const CertifiedInput quantized = Quantize<kShape>(static_cast<const float*>(x), largest);
  if (threadIdx.x == 0) {
    input = quantized;
  }
  const auto stage = [](int, int) { __syncthreads(); };
  const auto prepare = [&](int row) { return LoadQuad(rows, 4LL * row); };
  const auto finish = [&](int row, unsigned dot, const float4& early) {
    flag[row] = MaybePositive<kShape.k>(input, early, static_cast<int>(dot)) ? 1 : 0;
  };
  gemv.Run(kShape.n, row_at, stage, prepare, finish);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_CERTIFIEDTEST_CUH_
