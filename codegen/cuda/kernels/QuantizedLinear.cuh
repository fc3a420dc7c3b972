// quantized_linear: a stage of a predictor, int8 rows times a vector that is rounded to int16 as in certified_test.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_

#include "CertifiedTest.cuh"

namespace dejavu {

struct QuantizedLinearShape {
  int n;
  int k;
  int bits;  ///< Of an element of q8: 8 or 4.
  bool bias;
  Norm norm;
  GemvTiling tiling;
};

/// The arithmetic of a Gemv over rows of kBits bits. An operand is what a load multiplies with: kSixteens times 16
/// columns.
template <int kWidth, int kBits>
struct PredictorMath : Int8Math<kWidth> {
  static_assert(kBits == 8);
  using Operand = typename Int8Math<kWidth>::Operand;
  static constexpr int kSixteens = 1;

  __device__ static void SetHigh(Operand& operand, int, const uint4& bytes) { operand.high = bytes; }
  __device__ static void SetLow(Operand& operand, int, const uint4& bytes) { operand.low = bytes; }
};

/// Each half of a byte is the upper half of an int8, so the products are those of Int8Math. A load has 32 columns, the
/// first 16 of them in lower halves. In shared memory a plane has these of all blocks first, and then the others', so
/// that lanes side by side read side by side.
template <int kWidth>
struct PredictorMath<kWidth, 4> {
  static constexpr int kLoad = 32;
  static constexpr int kSegment = 32 * kLoad;
  static constexpr int kSums = 1;
  static constexpr int kPlane = CeilDiv(kWidth, kSegment) * kSegment;
  static constexpr int kSixteens = 2;
  static_assert(kWidth % kLoad == 0);
  using Load = uint4;
  using Sum = unsigned;
  struct Operand {
    uint4 high[kSixteens];
    uint4 low[kSixteens];
  };

  __device__ static unsigned* Plane(int plane) {
    return static_cast<unsigned*>(DynamicShared()) + plane * (kPlane / 4);
  }
  __device__ static int Word(int quad) { return quad % 8 / 4 * (kPlane / 8) + quad / 8 * 4 + quad % 4; }

  __device__ static Operand Read(int segment) {
    const int at = segment * 32 + Lane();
    const auto* high = reinterpret_cast<const uint4*>(Plane(0));
    const auto* low = reinterpret_cast<const uint4*>(Plane(1));
    return {{high[at], high[at + kPlane / 32]}, {low[at], low[at + kPlane / 32]}};
  }
  __device__ static void SetHigh(Operand& operand, int sixteen, const uint4& bytes) { operand.high[sixteen] = bytes; }
  __device__ static void SetLow(Operand& operand, int sixteen, const uint4& bytes) { operand.low[sixteen] = bytes; }

  __device__ static Sum MultiplyAdd(const Load& q, const Operand& n, Sum sum) {
    constexpr unsigned kUpper = 0xF0F0F0F0;
    const uint4 lower = {q.x << 4 & kUpper, q.y << 4 & kUpper, q.z << 4 & kUpper, q.w << 4 & kUpper};
    const uint4 upper = {q.x & kUpper, q.y & kUpper, q.z & kUpper, q.w & kUpper};
    using Whole = Int8Math<16>;
    sum = Whole::MultiplyAdd(lower, {n.high[0], n.low[0]}, sum);
    return Whole::MultiplyAdd(upper, {n.high[1], n.low[1]}, sum);
  }
};

/// What x was rounded with: x ~ up step n. If an x is not finite, the step is NaN.
struct Rounding {
  float step;
  float up;

  template <int kWidth>
  __device__ static Rounding Of(const Quantizer<kWidth>& quantizer) {
    const float nan = __uint_as_float(0x7FC00000);
    return {quantizer.step() < __uint_as_float(0x7F800000) ? quantizer.step() : nan, quantizer.up()};
  }
};

/// What surrounds the sums of a quantized_linear.
struct QuantizedRows {
  const void* q8;
  const void* scales;
  const void* bias;  ///< Null where the shape has none.
  void* y;

  struct Early {
    float scale;
    float bias;
  };

  [[nodiscard]] __device__ Early Prepare(int row) const {
    return {static_cast<const float*>(scales)[row], bias != nullptr ? static_cast<const float*>(bias)[row] : 0};
  }
  /// Every operation is rounded once.
  __device__ void Finish(int row, unsigned dot, const Early& early, const Rounding& rounding) const {
    const float scale = __fmul_rn(early.scale, rounding.step);
    const float scaled = __fmul_rn(__fmul_rn(scale, static_cast<float>(static_cast<int>(dot))), rounding.up);
    static_cast<float*>(y)[row] = bias != nullptr ? __fadd_rn(scaled, early.bias) : scaled;
  }
};

/// y f32<1, n> = ((scales step) (q8 i8<n, k bits / 8> . n)) up + bias; x normalised first where the shape says so.
template <QuantizedLinearShape kShape>
__device__ inline void QuantizedLinear(const void* x, const void* q8, const void* scales, const void* bias,
                                       const void* gamma, const void* beta, void* y, const Dims*,
                                       const Grid& grid = Grid()) {
  using Math = PredictorMath<kShape.k, kShape.bits>;
  const MatrixRows<kShape.k * kShape.bits / 8> row_at = {q8, kShape.n};
  const QuantizedRows rows = {q8, scales, kShape.bias ? bias : nullptr, y};
  static_assert(kShape.tiling.slots == 0, "alone it has no ring");
  Gemv<Math, kShape.k, kShape.tiling> gemv(grid);
  static_assert(decltype(gemv)::kChunks == 1, "shared memory holds all of x");
  gemv.Start(kShape.n, row_at);
  WaitForEarlier();
  const Input<kShape.k, kShape.norm, kShape.tiling.threads> normed(x, gamma, beta);
  const Rounding rounding = Rounding::Of(QuantizeToPlanes<Math, kShape.k, kShape.tiling.threads>(normed));
  const auto stage = [](int, int) { __syncthreads(); };
  const auto prepare = [&](int row) { return rows.Prepare(row); };
  const auto finish = [&](int row, unsigned dot, const QuantizedRows::Early& early) {
    rows.Finish(row, dot, early, rounding);
  };
  gemv.Run(kShape.n, row_at, stage, prepare, finish);
}

/// The rows of several quantized_linear, in numbers kRows, that read the vector of another product and go through its
/// ring, two or four of them in the place of one of its rows.
template <int kWidth, int kBits, int... kRows>
struct QuantizedOthers {
  static constexpr bool kAny = true;
  using Math = PredictorMath<kWidth, kBits>;
  static constexpr int kOfRow = 16 / kBits;  ///< Rows in the place of one of halves.
  static_assert(((kRows % kOfRow == 0) && ...), "the last rows would be alone");

  QuantizedRows products[sizeof...(kRows)];

  template <typename Ring>
  __device__ void Copy(Ring& ring) const {
    int product = 0;
    (ring.Copy(kRows / kOfRow, MatrixRows<2 * kWidth>{products[product++].q8, kRows / kOfRow}), ...);
  }

  template <typename Ring, typename Columns>
  __device__ void Run(Ring& ring, const Columns& columns) const {
    static_assert(Ring::kPartBytes == 2 * kWidth, "the rows have the bytes of one of the ring");
    typename Math::Operand operands[Ring::kLoads];
    const Rounding rounding = Quantize<Ring>(columns, operands);
    // A load belongs to one of the rows.
    const auto multiply = [&](const uint4& q, int i, unsigned* sums) {
      const unsigned sum = Math::MultiplyAdd(q, operands[i], 0);
      const int mine = LoadNumber<Ring>(i) / kLoadsOfRow;
#pragma unroll
      for (int row = 0; row < kOfRow; ++row) {
        sums[row] += row == mine ? sum : 0;
      }
    };
    int product = 0;
    (RunProduct(ring, kRows, products[product++], multiply, rounding), ...);
  }

 private:
  static constexpr int kLoadsOfRow = kWidth / Math::kLoad;
  static_assert(kWidth % 16 == 0 && kWidth % Math::kLoad == 0, "a load would have columns of two rows");

  template <typename Ring>
  __device__ static int LoadNumber(int i) {
    return Thread() + i * Ring::kThreads;
  }

  template <typename Ring, typename Multiply>
  __device__ static void RunProduct(Ring& ring, int count, const QuantizedRows& rows, Multiply multiply,
                                    const Rounding& rounding) {
    const auto prepare = [&](int row) { return rows.Prepare(row); };
    const auto finish = [&](int row, unsigned dot, const QuantizedRows::Early& early) {
      rows.Finish(row, dot, early, rounding);
    };
    ring.template RunSeveral<kOfRow, unsigned>(count / kOfRow, multiply, prepare, finish);
  }

  /// The columns that each of the thread's loads multiplies with. Other threads have them: they go through shared
  /// memory, first all high bytes, then all low ones.
  template <typename Ring, typename Columns>
  __device__ static Rounding Quantize(const Columns& columns, typename Math::Operand (&operands)[Ring::kLoads]) {
    constexpr int kWords = Ring::kLoad / 4;
    static_assert(kWidth <= Ring::kFreeBytes);
    float values[Ring::kLoads][Ring::kLoad];
    columns.Load(0, values);
    unsigned largest = 0;
#pragma unroll
    for (int i = 0; i < Ring::kLoads; ++i) {
#pragma unroll
      for (int j = 0; j < Ring::kLoad; ++j) {
        largest = Larger(largest, MagnitudeBits(values[i][j]));
      }
    }
    Quantizer<kWidth> quantizer(ReduceBlock<Ring::kThreads>(largest, Ring::template OfWarps<unsigned>(0), &Larger));
    unsigned words[2][Ring::kLoads][kWords] = {};
#pragma unroll
    for (int i = 0; i < Ring::kLoads; ++i) {
#pragma unroll
      for (int j = 0; j < Ring::kLoad; ++j) {
        quantizer.Add(values[i][j], j % 4, words[0][i][j / 4], words[1][i][j / 4]);
      }
    }
    Exchange<Ring>(words[0], [&](int i, int sixteen, const uint4& x) { Math::SetHigh(operands[i], sixteen, x); });
    Exchange<Ring>(words[1], [&](int i, int sixteen, const uint4& x) { Math::SetLow(operands[i], sixteen, x); });
    return Rounding::Of(quantizer);
  }

  /// `words` are the bytes of the columns that the thread has of x; take(i, j, bytes) gets 16 of those of its
  /// load number i, for each j.
  template <typename Ring, int kLoads, int kWords, typename Take>
  __device__ static void Exchange(const unsigned (&words)[kLoads][kWords], Take take) {
    unsigned* shared = Ring::FreeWords();
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      if (Ring::Has(i, 0)) {
#pragma unroll
        for (int word = 0; word < kWords; ++word) {
          shared[Ring::Column(i) / 4 + word] = words[i][word];
        }
      }
    }
    SyncFirst(Ring::kThreads);
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      if (Ring::Has(i, 0)) {
        const int first = LoadNumber<Ring>(i) % kLoadsOfRow * Math::kSixteens;
#pragma unroll
        for (int j = 0; j < Math::kSixteens; ++j) {
          take(i, j, reinterpret_cast<const uint4*>(shared)[first + j]);
        }
      }
    }
    SyncFirst(Ring::kThreads);
  }
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_
