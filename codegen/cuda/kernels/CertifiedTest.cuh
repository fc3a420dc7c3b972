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
// - There is no case for an x with NaN or infinity: `error` is then NaN, so no total is below zero and all neurons
// stay. It needs divisions and roots that are rounded correctly and denormals that are kept: the compiler's defaults.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_CERTIFIEDTEST_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_CERTIFIEDTEST_CUH_

#include "FloatGemv.cuh"

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
  /// Where in a plane columns 4 quad to 4 quad + 3 are.
  __device__ static int Word(int quad) { return quad; }

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

/// The bits of |x|; they are ordered as the numbers are, NaN above infinity.
__device__ inline unsigned MagnitudeBits(float x) { return __float_as_uint(fabsf(x)); }

__device__ inline unsigned Larger(unsigned a, unsigned b) { return max(a, b); }

/// Turns a thread's elements of x into n = round(x / step), scaled by a power of two first, and adds up their squares
/// and those of the rounding errors.
template <int kWidth>
class Quantizer {
 public:
  /// `largest` has the bits of the largest |x[i]|.
  __device__ explicit Quantizer(unsigned largest) {
    const unsigned exponent = min(max(largest >> 23, 1U), 253U);
    down_ = __uint_as_float((254 - exponent) << 23);
    up_ = __uint_as_float(exponent << 23);
    const float scaled = largest == 0 ? 1 : __uint_as_float(largest) * down_;
    step_ = scaled / kLevels;
    inverse_ = kLevels / scaled;
  }

  /// Byte i of `high` and `low` become those of x / step.
  __device__ void Add(float x, int i, unsigned& high, unsigned& low) {
    const float value = x * down_;
    const float n = rintf(value * inverse_);
    const float d = fmaf(-n, step_, value);
    squares_ = fmaf(value, value, squares_);
    error_squares_ = fmaf(d, d, error_squares_);
    const auto bits = static_cast<unsigned>(static_cast<int>(n));
    high |= (bits >> 8 & 0xFF) << 8 * i;
    low |= (bits & 0xFF) << 8 * i;
  }

  [[nodiscard]] __device__ float step() const { return step_; }
  [[nodiscard]] __device__ float up() const { return up_; }

  /// By the first kThreads threads of the block, which have added all of x; `shared` as in SumBlock().
  template <int kThreads>
  __device__ CertifiedInput Finish(float* shared, float* other_shared) const {
    // Rounded up: a float sum of k squares is right to a factor 1 + k u, and computing d was off by at most 2u |x|.
    constexpr float kRoundUp = 1 + (kWidth + 16) * 0x1p-23F;
    const float norm = sqrtf(SumBlock<kThreads>(squares_, shared)) * kRoundUp;
    const float error = sqrtf(SumBlock<kThreads>(error_squares_, other_shared)) * kRoundUp + norm * 0x1p-21F;
    return {step_, norm, error, up_};
  }

 private:
  static constexpr int kMostLevels = 0x7FFFFFFF / (128 * kWidth);
  static constexpr float kLevels = kMostLevels < 32767 ? kMostLevels : 32767;

  float down_;
  float up_;
  float step_;
  float inverse_;
  float squares_ = 0;
  float error_squares_ = 0;
};

/// Fills the planes in shared memory with the quantised x, an Input, padded by zeros.
template <typename Math, int kWidth, int kThreads, typename X>
__device__ inline Quantizer<kWidth> QuantizeToPlanes(const X& x) {
  __shared__ unsigned largest_of_warps[kThreads / 32];
  unsigned largest = 0;
#pragma unroll 2
  for (int quad = Thread(); quad < kWidth / 4; quad += kThreads) {
    const float4 v = x.Quad(4 * quad);
    largest = Larger(Larger(largest, MagnitudeBits(v.x)), MagnitudeBits(v.y));
    largest = Larger(Larger(largest, MagnitudeBits(v.z)), MagnitudeBits(v.w));
  }
  Quantizer<kWidth> quantizer(ReduceBlock<kThreads>(largest, largest_of_warps, &Larger));
#pragma unroll 1
  for (int quad = Thread(); quad < Math::kPlane / 4; quad += kThreads) {
    unsigned high = 0;
    unsigned low = 0;
    if (4 * quad < kWidth) {
      const float4 v = x.Quad(4 * quad);
      quantizer.Add(v.x, 0, high, low);
      quantizer.Add(v.y, 1, high, low);
      quantizer.Add(v.z, 2, high, low);
      quantizer.Add(v.w, 3, high, low);
    }
    Math::Plane(0)[Math::Word(quad)] = high;
    Math::Plane(1)[Math::Word(quad)] = low;
  }
  return quantizer;
}

/// The same in the registers of a ring's threads.
template <typename Ring, int kWidth>
__device__ inline Quantizer<kWidth> QuantizeToRegisters(const RingVector<Ring, kWidth, Norm{}>& x,
                                                        typename Ring::Operand (&operands)[Ring::kLoads]) {
  float values[Ring::kLoads][Ring::kLoad];
  x.Load(0, values);
  unsigned largest = 0;
#pragma unroll
  for (int i = 0; i < Ring::kLoads; ++i) {
#pragma unroll
    for (int j = 0; j < Ring::kLoad; ++j) {
      largest = Larger(largest, MagnitudeBits(values[i][j]));
    }
  }
  Quantizer<kWidth> quantizer(ReduceBlock<Ring::kThreads>(largest, Ring::template OfWarps<unsigned>(0), &Larger));
#pragma unroll
  for (int i = 0; i < Ring::kLoads; ++i) {
    unsigned high[4] = {};
    unsigned low[4] = {};
#pragma unroll
    for (int j = 0; j < Ring::kLoad; ++j) {
      quantizer.Add(values[i][j], j % 4, high[j / 4], low[j / 4]);
    }
    operands[i] = {{high[0], high[1], high[2], high[3]}, {low[0], low[1], low[2], low[3]}};
  }
  return quantizer;
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
  const MatrixRows<kShape.k> row_at = {q8, kShape.n};
  const auto prepare = [&](int row) { return LoadQuad(rows, 4LL * row); };
  const auto finish_with = [&](const CertifiedInput& input, int row, unsigned dot, const float4& early) {
    static_cast<unsigned char*>(flags)[row] = MaybePositive<kShape.k>(input, early, static_cast<int>(dot)) ? 1 : 0;
  };
  if constexpr (kShape.tiling.slots > 0) {
    using Ring = RingGemv<Math, kShape.k, kShape.tiling>;
    static_assert(Ring::kChunks == 1, "registers hold all of x");
    Ring ring;
    if (!Ring::Start()) {
      ring.Copy(kShape.n, row_at);
      return;
    }
    WaitForEarlier();
    CertifiedInput input;
    const auto read = [&](int, typename Math::Operand(&operands)[Ring::kLoads]) {
      const RingVector<Ring, kShape.k, Norm{}> columns({x, nullptr, nullptr});
      const Quantizer<kShape.k> quantizer = QuantizeToRegisters(columns, operands);
      input =
          quantizer.template Finish<Ring::kThreads>(Ring::template OfWarps<float>(1), Ring::template OfWarps<float>(0));
    };
    const auto finish = [&](int row, unsigned dot, const float4& early) { finish_with(input, row, dot, early); };
    typename Ring::template Product<decltype(read)> product(read);
    ring.Run(kShape.n, product, prepare, finish);
  } else {
    Gemv<Math, kShape.k, kShape.tiling> gemv;
    static_assert(decltype(gemv)::kChunks == 1, "shared memory holds all of x");
    gemv.Start(kShape.n, row_at);
    WaitForEarlier();
    __shared__ CertifiedInput input;
    __shared__ float sums[2][kShape.tiling.threads / 32];
    const Input<kShape.k, Norm{}, kShape.tiling.threads> all_of_x(x, nullptr, nullptr);
    const CertifiedInput quantized = QuantizeToPlanes<Int8Math<kShape.k>, kShape.k, kShape.tiling.threads>(all_of_x)
                                         .template Finish<kShape.tiling.threads>(sums[0], sums[1]);
    if (threadIdx.x == 0) {
      input = quantized;
    }
    const auto stage = [](int, int) { __syncthreads(); };
    const auto finish = [&](int row, unsigned dot, const float4& early) { finish_with(input, row, dot, early); };
    gemv.Run(kShape.n, row_at, stage, prepare, finish);
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_CERTIFIEDTEST_CUH_
