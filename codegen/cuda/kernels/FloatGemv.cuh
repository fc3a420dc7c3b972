// Products of rows with a vector of floats, which may be normalised first: the inner part of linear, sparse_qkv and
// sparse_fc1. The tiling says whether rows come through a ring or by plain loads; the rows say whether they are known
// before the launches ahead have ended.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_FLOATGEMV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_FLOATGEMV_CUH_

#include "Input.cuh"
#include "RingGemv.cuh"

namespace dejavu {

/// The vector: x, or its layer norm.
struct FloatVector {
  const void* x;
  const void* gamma;  ///< gamma and beta are weights; null without a norm.
  const void* beta;
};

/// Rows that all go through a ring in their order; Derived says how many there are and where.
template <typename Derived>
struct RowsInOrder {
  template <typename Ring>
  __device__ void Copy(Ring& ring) const {
    const auto& rows = static_cast<const Derived&>(*this);
    ring.Copy(rows.Count(), rows);
  }
  template <typename Ring, typename Product, typename Prepare, typename Finish>
  __device__ void Run(Ring& ring, Product& product, Prepare prepare, Finish finish) const {
    ring.Run(static_cast<const Derived&>(*this).Count(), product, prepare, finish);
  }
};

/// All rows of a matrix<count, kWidth>.
template <int kRowBytes>
struct MatrixRows : RowsInOrder<MatrixRows<kRowBytes>> {
  __device__ MatrixRows(const void* all, int rows) : matrix(all), count(rows) {}

  static constexpr bool kEarly = true;  ///< Known before the launches ahead have ended.

  const void* matrix;
  int count;

  __device__ int Count() const { return count; }
  __device__ const char* operator()(int row) const {
    return static_cast<const char*>(matrix) + static_cast<long long>(row) * kRowBytes;
  }
};

/// The rows of a matrix that an index list of at most kCapacity entries names.
template <int kRowBytes, int kCapacity, bool kEarlyList>
struct ListedRows {
  __device__ ListedRows(const void* all, const int* numbers) : matrix(all), list(numbers) {}

  /// Through a ring, in turns of all blocks: so it doesn't depend on the count which entries are first, and their
  /// numbers come with it.
  template <typename Ring>
  __device__ void Copy(Ring& ring) const {
    const int first = min(Block() + Lane() * Blocks(), kCapacity - 1);
    const int number = Number(first);
    ring.template Copy<true>(Count(), [&](int entry) { return Row(entry == first ? number : Number(entry)); });
  }
  template <typename Ring, typename Product, typename Prepare, typename Finish>
  __device__ void Run(Ring& ring, Product& product, Prepare prepare, Finish finish) const {
    ring.template Run<true>(Count(), product, prepare, finish);
  }

  static constexpr bool kEarly = kEarlyList;

  const void* matrix;
  const int* list;

  __device__ int Count() const { return LoadCoherent(list); }
  __device__ int Number(int entry) const { return LoadCoherent(list + kIndexEntries + entry); }
  __device__ const char* Row(int number) const {
    return static_cast<const char*>(matrix) + static_cast<long long>(number) * kRowBytes;
  }
  __device__ const char* operator()(int entry) const { return Row(Number(entry)); }
};

/// The columns of the vector that a thread of a ring multiplies with, normalised in registers.
template <typename Ring, int kWidth, Norm kNorm>
class RingVector {
 public:
  static constexpr int kLoads = Ring::kLoads;
  static constexpr int kLoad = Ring::kLoad;
  static_assert(!kNorm.on || Ring::kChunks == 1, "a norm needs all columns at once");

  /// Before x is there: asks for gamma and beta. Where registers are short, only the second-level cache has them early.
  __device__ explicit RingVector(const FloatVector& vector) : vector_(vector) {
    if constexpr (kNorm.on && kKeeps) {
      LoadColumns(vector_.gamma, 0, gamma_);
      LoadColumns(vector_.beta, 0, beta_);
    } else if constexpr (kNorm.on) {
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        if (Ring::Has(i, 0)) {
          PrefetchLine(static_cast<const float*>(vector_.gamma) + Ring::Column(i));
          PrefetchLine(static_cast<const float*>(vector_.beta) + Ring::Column(i));
        }
      }
    }
  }

  /// Columns of part `chunk`; zeros where there are none.
  __device__ void Load(int chunk, float (&values)[kLoads][kLoad]) const {
    LoadColumns(vector_.x, chunk, values);
    if constexpr (kNorm.on) {
      Normalise(values);
    }
  }

 private:
  static constexpr bool kKeeps = kNorm.on && kLoads * kLoad <= 16;
  static constexpr int kKept = kKeeps ? kLoads : 1;

  __device__ static void LoadColumns(const void* floats, int chunk, float (&values)[kLoads][kLoad]) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
#pragma unroll
      for (int j = 0; j < kLoad; j += 4) {
        float4 quad = {0, 0, 0, 0};
        if (Ring::Has(i, chunk)) {
          quad = LoadQuad(floats, chunk * Ring::kChunk + Ring::Column(i) + j);
        }
        values[i][j] = quad.x;
        values[i][j + 1] = quad.y;
        values[i][j + 2] = quad.z;
        values[i][j + 3] = quad.w;
      }
    }
  }

  __device__ void Normalise(float (&values)[kLoads][kLoad]) const {
    float sum = 0;
    ForEach([&](int i, int j) { sum += values[i][j]; });
    const float mean = SumBlock<Ring::kThreads>(sum, Ring::template OfWarps<float>(0)) / kWidth;
    float squares = 0;
    ForEach([&](int i, int j) {
      if (Ring::Has(i, 0)) {
        values[i][j] -= mean;
      }
      squares = fmaf(values[i][j], values[i][j], squares);
    });
    const float variance = SumBlock<Ring::kThreads>(squares, Ring::template OfWarps<float>(1)) / kWidth;
    const float inverse = 1 / sqrtf(variance + kNorm.epsilon);
    if constexpr (kKeeps) {
      ForEach([&](int i, int j) { values[i][j] = fmaf(values[i][j] * inverse, gamma_[i][j], beta_[i][j]); });
    } else {
      float gamma[kLoads][kLoad];
      float beta[kLoads][kLoad];
      LoadColumns(vector_.gamma, 0, gamma);
      LoadColumns(vector_.beta, 0, beta);
      ForEach([&](int i, int j) { values[i][j] = fmaf(values[i][j] * inverse, gamma[i][j], beta[i][j]); });
    }
  }

  template <typename Body>
  __device__ static void ForEach(Body body) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
#pragma unroll
      for (int j = 0; j < kLoad; ++j) {
        body(i, j);
      }
    }
  }

  FloatVector vector_;
  float gamma_[kKept][kLoad];
  float beta_[kKept][kLoad];
};

/// The columns of the vector where a thread has them in registers already.
template <typename Ring>
struct KnownColumns {
  const typename Ring::Operand (&columns)[Ring::kLoads];

  __device__ void Load(int, float (&values)[Ring::kLoads][Ring::kLoad]) const {
#pragma unroll
    for (int i = 0; i < Ring::kLoads; ++i) {
#pragma unroll
      for (int j = 0; j < Ring::kLoad; ++j) {
        values[i][j] = columns[i].values[j];
      }
    }
  }
};

/// Nothing but the rows goes through the ring.
struct NoOthers {
  static constexpr bool kAny = false;
  template <typename Ring>
  __device__ void Copy(Ring&) const {}
  template <typename Ring, typename Columns>
  __device__ void Run(Ring&, const Columns&) const {}
};

/// All that a kernel does to multiply rows with a vector, waiting for the launches ahead included. For each row i, one
/// thread calls early = prepare(i) and then finish(i, row(i) . x, early). `others` are products with the same vector
/// that a ring takes before the rows, which it leaves in registers for them.
template <typename Math, int kWidth, Norm kNorm, GemvTiling kTiling, typename Rows, typename Prepare, typename Finish,
          typename Others = NoOthers>
__device__ inline void MultiplyFloats(const Rows& rows, const FloatVector& vector, Prepare prepare, Finish finish,
                                      const Others& others = Others()) {
  if constexpr (kTiling.slots > 0) {
    using Ring = RingGemv<Math, kWidth, kTiling>;
    Ring ring;
    if (!Ring::Start()) {
      others.Copy(ring);
      if constexpr (!Rows::kEarly) {
        WaitForEarlier();
      }
      rows.Copy(ring);
      return;
    }
    const RingVector<Ring, kWidth, kNorm> columns(vector);
    WaitForEarlier();
    const auto read = [&](int chunk, typename Math::Operand(&operands)[Ring::kLoads]) {
      float values[Ring::kLoads][Ring::kLoad];
      columns.Load(chunk, values);
#pragma unroll
      for (int i = 0; i < Ring::kLoads; ++i) {
        operands[i] = Math::OperandOf(values[i]);
      }
    };
    typename Ring::template Product<decltype(read)> product(read);
    if constexpr (Others::kAny) {
      others.Run(ring, KnownColumns<Ring>{product.vector()});
    }
    rows.Run(ring, product, prepare, finish);
  } else {
    if constexpr (!Rows::kEarly) {
      WaitForEarlier();
    }
    Gemv<Math, kWidth, kTiling> gemv;
    const int count = rows.Count();
    gemv.Start(count, rows);
    if constexpr (Rows::kEarly) {
      WaitForEarlier();
    }
    const Input<kWidth, kNorm, kTiling.threads> input(vector.x, vector.gamma, vector.beta);
    const auto stage = [&](int begin, int columns) {
      __syncthreads();
      Math::template Stage<kTiling.threads>(input, begin, columns);
      __syncthreads();
    };
    gemv.Run(count, rows, stage, prepare, finish);
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_FLOATGEMV_CUH_
