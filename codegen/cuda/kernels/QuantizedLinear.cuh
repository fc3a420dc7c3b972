// quantized_linear: a stage of a predictor, int8 rows times a vector that is rounded to int16 as in certified_test.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_

#include "CertifiedTest.cuh"

namespace dejavu {

struct QuantizedLinearShape {
  int n;
  int k;
  bool bias;
  Norm norm;
  GemvTiling tiling;
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

/// y f32<1, n> = ((scales step) (q8 i8<n, k> . n)) up + bias; x normalised first where the shape says so.
template <QuantizedLinearShape kShape>
__device__ inline void QuantizedLinear(const void* x, const void* q8, const void* scales, const void* bias,
                                       const void* gamma, const void* beta, void* y, const Dims*,
                                       const Grid& grid = Grid()) {
  using Math = Int8Math<kShape.k>;
  const MatrixRows<kShape.k> row_at = {q8, kShape.n};
  const QuantizedRows rows = {q8, scales, kShape.bias ? bias : nullptr, y};
  static_assert(kShape.tiling.slots == 0, "alone it has no ring");
  Gemv<Math, kShape.k, kShape.tiling> gemv(grid);
  static_assert(decltype(gemv)::kChunks == 1, "shared memory holds all of x");
  gemv.Start(kShape.n, row_at);
  WaitForEarlier();
  const Input<kShape.k, kShape.norm, kShape.tiling.threads> normed(x, gamma, beta);
  const Rounding rounding = Rounding::Of(QuantizeToPlanes<kShape.k, kShape.tiling.threads>(normed));
  const auto stage = [](int, int) { __syncthreads(); };
  const auto prepare = [&](int row) { return rows.Prepare(row); };
  const auto finish = [&](int row, unsigned dot, const QuantizedRows::Early& early) {
    rows.Finish(row, dot, early, rounding);
  };
  gemv.Run(kShape.n, row_at, stage, prepare, finish);
}

/// The rows of several quantized_linear, in numbers kRows, that read the vector of another product: they go through its
/// ring first, two of them in the place of one of its rows.
template <int kWidth, int... kRows>
struct QuantizedFirst {
  static_assert(((kRows % 2 == 0) && ...), "the last row would be alone");

  QuantizedRows products[sizeof...(kRows)];

  template <typename Ring>
  __device__ void Copy(Ring& ring) const {
    int product = 0;
    (ring.Copy(kRows / 2, MatrixRows<2 * kWidth>{products[product++].q8, kRows / 2}), ...);
  }

  template <typename Ring, typename Columns>
  __device__ void Run(Ring& ring, const Columns& columns) const {
    static_assert(Ring::kPartBytes == 2 * kWidth, "two rows have the bytes of one of the ring");
    typename Int8Math<kWidth>::Operand operands[Ring::kLoads];
    const Rounding rounding = Quantize<Ring>(columns, operands);
    // A load belongs to the first row of a pair or to the second.
    const auto multiply = [&](const uint4& q, int i, unsigned* sums) {
      const unsigned sum = Int8Math<kWidth>::MultiplyAdd(q, operands[i], 0);
      const bool second = IsSecond<Ring>(i);
      sums[0] += second ? 0 : sum;
      sums[1] += second ? sum : 0;
    };
    int product = 0;
    (RunProduct(ring, kRows, products[product++], multiply, rounding), ...);
  }

 private:
  static constexpr int kLoadsOfRow = kWidth / 16;
  static_assert(kWidth % 16 == 0, "a load would have columns of both rows");

  template <typename Ring>
  __device__ static int LoadNumber(int i) {
    return Thread() + i * Ring::kThreads;
  }
  template <typename Ring>
  __device__ static bool IsSecond(int i) {
    return LoadNumber<Ring>(i) >= kLoadsOfRow;
  }

  template <typename Ring, typename Multiply>
  __device__ static void RunProduct(Ring& ring, int count, const QuantizedRows& rows, Multiply multiply,
                                    const Rounding& rounding) {
    const auto prepare = [&](int row) { return rows.Prepare(row); };
    const auto finish = [&](int row, unsigned dot, const QuantizedRows::Early& early) {
      rows.Finish(row, dot, early, rounding);
    };
    ring.template RunPairs<unsigned>(count / 2, multiply, prepare, finish);
  }

  /// The columns that each of the thread's loads multiplies with. Other threads have them: they go through shared
  /// memory, first all high bytes, then all low ones.
  template <typename Ring, typename Columns>
  __device__ static Rounding Quantize(const Columns& columns,
                                      typename Int8Math<kWidth>::Operand (&operands)[Ring::kLoads]) {
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
    Exchange<Ring>(words[0], [&](int i, const uint4& part) { operands[i].high = part; });
    Exchange<Ring>(words[1], [&](int i, const uint4& part) { operands[i].low = part; });
    return Rounding::Of(quantizer);
  }

  /// `words` are the bytes of the columns that the thread has of x; take(i, bytes) gets those of its load number i.
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
        take(i, reinterpret_cast<const uint4*>(shared)[LoadNumber<Ring>(i) - (IsSecond<Ring>(i) ? kLoadsOfRow : 0)]);
      }
    }
    SyncFirst(Ring::kThreads);
  }
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDLINEAR_CUH_
