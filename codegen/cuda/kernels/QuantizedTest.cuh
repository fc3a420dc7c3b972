// quantized_test: which neurons a copy of fc1 of few bits finds active. Format and numbers: ir/base/QuantizedCopy.h and
// sparse.quantized_active in ir/ops/SparseOps.h. All products are of integers, so that their order is of no matter.
//
// A load of 16 bytes is cut into its fields by a mask alone: field t of a byte is left where it is, 2^(bits t) times
// too large, and the sum over the load is shifted instead. That is one logical operation for each product of four
// bytes.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDTEST_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDTEST_CUH_

#include "CertifiedTest.cuh"

namespace dejavu {

struct QuantizedTestShape {
  int n;
  int k;
  int bits;
  int group;   ///< Columns that share a scale.
  int levels;  ///< x is rounded to integers from -levels to levels.
  float margin;
  bool among;  ///< Only the entries of a list are tested; flags are in their order.
  Norm norm;
  GemvTiling tiling;
};

/// Fields of kBits bits in a byte, and the columns of a block of 16 bytes.
template <int kBits>
struct Fields {
  static constexpr int kCount = 8 / kBits;
  static constexpr int kColumns = 16 * kCount;
  static constexpr unsigned kMask = (0xFF >> (8 - kBits)) * 0x01010101U;

  /// The sum of the products of field number `field` of a block with 16 signed bytes.
  __device__ static int Dot(const uint4& block, const uint4& n, int field) {
    const unsigned mask = kMask << kBits * field;
    unsigned sum = DotMixed(block.x & mask, n.x, 0);
    sum = DotMixed(block.y & mask, n.y, sum);
    sum = DotMixed(block.z & mask, n.z, sum);
    sum = DotMixed(block.w & mask, n.w, sum);
    return static_cast<int>(sum) >> kBits * field;
  }
};

/// How x was rounded to integers from -kLevels to kLevels: x ~ up step n.
template <int kLevels>
class ByteRounding {
 public:
  ByteRounding() = default;
  /// `largest` has the bits of the largest |x[i]|.
  __device__ explicit ByteRounding(unsigned largest) : finite_(largest < 0x7F800000) {
    const unsigned exponent = min(max(largest >> 23, 1U), 253U);
    down_ = __uint_as_float((254 - exponent) << 23);
    up_ = __uint_as_float(exponent << 23);
    const float scaled = largest == 0 ? 1 : __fmul_rn(__uint_as_float(largest), down_);
    step_ = __fdiv_rn(scaled, kLevels);
    inverse_ = __fdiv_rn(kLevels, scaled);
  }

  __device__ int Round(float x) const { return static_cast<int>(rintf(__fmul_rn(__fmul_rn(x, down_), inverse_))); }
  /// Four of them as bytes.
  __device__ unsigned Round(const float4& x) const {
    return Byte(x.x) | Byte(x.y) << 8 | Byte(x.z) << 16 | Byte(x.w) << 24;
  }
  /// `row` is (scale, bias, deviation).
  __device__ bool IsListed(const float (&row)[3], float margin, int dot) const {
    const float sum = __fmul_rn(__fmul_rn(__fmul_rn(row[0], step_), static_cast<float>(dot)), up_);
    return !finite_ || !(__fadd_rn(sum, __fadd_rn(row[1], __fmul_rn(margin, row[2]))) <= 0);
  }

 private:
  __device__ unsigned Byte(float x) const { return static_cast<unsigned>(Round(x)) & 0xFF; }

  bool finite_;
  float down_;
  float up_;
  float step_;
  float inverse_;
};

/// Of a neuron, read before its sum is known.
struct CopyRow {
  float values[3];

  __device__ static CopyRow Of(const void* rows, int row) {
    const float* values = static_cast<const float*>(rows) + 3LL * row;
    return {{values[0], values[1], values[2]}};
  }
};

/// The arithmetic of a ring of rows of one plane. Each row has its groups' scales beside it.
template <int kWidth, int kBits, int kGroup>
struct CopyMath {
  using Load = uint4;
  using Sum = int;
  static constexpr int kLoad = Fields<kBits>::kColumns;
  static constexpr int kLoadBytes = 16;
  static constexpr int kSideBytes = kWidth / kGroup;
  static constexpr int kCentre = (1 << kBits) - 1;
  /// Fields of a load that share a scale, and scales of a load.
  static constexpr int kShared = kGroup < kLoad ? kGroup / 16 : kLoad / 16;
  static constexpr int kScales = kLoad / 16 / kShared;
  struct Operand {
    uint4 n[kLoad / 16];
    int offsets[kScales];  ///< What the centre takes off the sum of the fields that share a scale.
  };

  /// `scales` are those of the row.
  __device__ static Sum MultiplyAdd(const Load& block, const Operand& x, const signed char* scales, int column,
                                    Sum sum) {
#pragma unroll
    for (int i = 0; i < kScales; ++i) {
      int fields = 0;
#pragma unroll
      for (int j = 0; j < kShared; ++j) {
        const int field = i * kShared + j;
        fields += Fields<kBits>::Dot(block, x.n[field], field);
      }
      sum += scales[column / kGroup + i] * (2 * fields + x.offsets[i]);
    }
    return sum;
  }

  /// Of a load's columns, by their bytes.
  __device__ static void SetOffsets(Operand& x) {
#pragma unroll
    for (int i = 0; i < kScales; ++i) {
      unsigned sum = 0;
#pragma unroll
      for (int j = 0; j < kShared; ++j) {
        const uint4& n = x.n[i * kShared + j];
        sum = DotMixed(0x01010101, n.x, DotMixed(0x01010101, n.y, sum));
        sum = DotMixed(0x01010101, n.z, DotMixed(0x01010101, n.w, sum));
      }
      x.offsets[i] = -kCentre * static_cast<int>(sum);
    }
  }
};

/// Rows of a copy with one plane, and their groups' scales.
template <int kRowBytes, int kSideBytes>
struct CopyRows {
  const void* copy;
  const void* scales;

  __device__ const char* operator()(int row) const {
    return static_cast<const char*>(copy) + static_cast<long long>(row) * kRowBytes;
  }
  __device__ const char* Side(int row) const {
    return static_cast<const char*>(scales) + static_cast<long long>(row) * kSideBytes;
  }
};

/// The columns of x of a ring's thread, rounded.
template <typename Math, typename Ring, int kLevels>
__device__ inline ByteRounding<kLevels> RoundToRegisters(const float (&values)[Ring::kLoads][Ring::kLoad],
                                                         typename Math::Operand (&operands)[Ring::kLoads]) {
  unsigned largest = 0;
#pragma unroll
  for (int i = 0; i < Ring::kLoads; ++i) {
#pragma unroll
    for (int j = 0; j < Ring::kLoad; ++j) {
      largest = Larger(largest, MagnitudeBits(values[i][j]));
    }
  }
  const ByteRounding<kLevels> rounding(
      ReduceBlock<Ring::kThreads>(largest, Ring::template OfWarps<unsigned>(0), &Larger));
#pragma unroll
  for (int i = 0; i < Ring::kLoads; ++i) {
    const auto word = [&](int j) {
      return rounding.Round(float4{values[i][j], values[i][j + 1], values[i][j + 2], values[i][j + 3]});
    };
#pragma unroll
    for (int j = 0; j < Ring::kLoad / 16; ++j) {
      operands[i].n[j] = {word(16 * j), word(16 * j + 4), word(16 * j + 8), word(16 * j + 12)};
    }
    Math::SetOffsets(operands[i]);
  }
  return rounding;
}

/// Rows of a copy of one plane through a ring.
template <QuantizedTestShape kShape>
__device__ inline void QuantizedTestByRing(const void* x, const void* copy, const void* scales, const void* rows,
                                           const void* gamma, const void* beta, unsigned char* flags) {
  static_assert(kShape.bits == 4 || kShape.bits == 2, "other copies have two planes");
  static_assert(!kShape.among, "what is beside rows comes for neighbours");
  using Math = CopyMath<kShape.k, kShape.bits, kShape.group>;
  using Ring = RingGemv<Math, kShape.k, kShape.tiling>;
  static_assert(Ring::kChunks == 1, "registers hold all of x");
  Ring ring;
  const CopyRows<kShape.k * kShape.bits / 8, Math::kSideBytes> row_at = {copy, scales};
  if (!Ring::Start()) {
    ring.Copy(kShape.n, row_at);
    return;
  }
  const RingVector<Ring, kShape.k, kShape.norm> columns({x, gamma, beta});
  WaitForEarlier();
  ByteRounding<kShape.levels> rounding;
  const auto read = [&](int, typename Math::Operand(&operands)[Ring::kLoads]) {
    float values[Ring::kLoads][Ring::kLoad];
    columns.Load(0, values);
    rounding = RoundToRegisters<Math, Ring, kShape.levels>(values, operands);
  };
  const auto prepare = [&](int row) { return CopyRow::Of(rows, row); };
  const auto finish = [&](int row, int dot, const CopyRow& early) {
    flags[row] = rounding.IsListed(early.values, kShape.margin, dot) ? 1 : 0;
  };
  typename Ring::template Product<decltype(read)> product(read);
  ring.Run(kShape.n, product, prepare, finish);
}

/// Any copy by plain loads: a warp has a row at a time. x is in shared memory as the planes want it, and the sum of
/// each group of it.
template <QuantizedTestShape kShape>
class QuantizedTestByLoads {
 public:
  static constexpr int kThreads = kShape.tiling.threads;
  static constexpr int kWidth = kShape.k;
  static constexpr int kFirstBits = kShape.bits >= 4 ? 4 : 2;
  static constexpr int kSecondBits = kShape.bits == 3 ? 1 : kShape.bits == 8 ? 4 : 0;
  static constexpr int kSecondShift = kFirstBits;
  static constexpr int kGroups = CeilDiv(kWidth, kShape.group);
  static constexpr int kCentre = (1 << kShape.bits) - 1;

  template <int kBits>
  static constexpr int kBlocks = CeilDiv(kWidth, Fields<kBits>::kColumns);
  static constexpr int kFirstBlocks = kBlocks<kFirstBits>;
  __host__ __device__ static constexpr int SecondBlocks() {
    if constexpr (kSecondBits > 0) {
      return kBlocks<kSecondBits>;
    }
    return 0;
  }
  static constexpr int kRowBytes = 16 * (kFirstBlocks + SecondBlocks());
  /// Where x is kept once more, for a second plane of other blocks.
  static constexpr bool kTwoForms = kSecondBits > 0 && kSecondBits != kFirstBits;
  static constexpr int kFirstFormBytes = 16 * kFirstBlocks * Fields<kFirstBits>::kCount;
  __host__ __device__ static constexpr int SecondFormBytes() {
    if constexpr (kTwoForms) {
      return 16 * SecondBlocks() * Fields<kSecondBits>::kCount;
    }
    return 0;
  }
  static constexpr int kShared = kFirstFormBytes + SecondFormBytes() + 4 * kGroups;
  static_assert(kShared <= kShape.tiling.shared, "the launch brings too little shared memory");

  template <typename X>
  __device__ static ByteRounding<kShape.levels> Stage(const X& x) {
    __shared__ unsigned largest_of_warps[kThreads / 32];
    unsigned largest = 0;
    for (int quad = Thread(); quad < kWidth / 4; quad += kThreads) {
      const float4 v = x.Quad(4 * quad);
      largest = Larger(Larger(largest, MagnitudeBits(v.x)), MagnitudeBits(v.y));
      largest = Larger(Larger(largest, MagnitudeBits(v.z)), MagnitudeBits(v.w));
    }
    for (int group = Thread(); group < kGroups; group += kThreads) {
      GroupSums()[group] = 0;
    }
    const ByteRounding<kShape.levels> rounding(ReduceBlock<kThreads>(largest, largest_of_warps, &Larger));
    // Up to the end of the last block of either plane.
    for (int quad = Thread(); quad < CeilDiv(kWidth, 128) * 32; quad += kThreads) {
      unsigned word = 0;
      if (4 * quad < kWidth) {
        word = rounding.Round(x.Quad(4 * quad));
        atomicAdd(GroupSums() + 4 * quad / kShape.group, DotMixed(0x01010101, word, 0));
      }
      Put<kFirstBits>(FirstForm(), quad, word);
      if constexpr (kTwoForms) {
        Put<kSecondBits>(SecondForm(), quad, word);
      }
    }
    __syncthreads();
    return rounding;
  }

  /// D of a row, in all lanes of the warp.
  __device__ static int Product(const char* row, const signed char* scales) {
    int sum = 2 * Plane<kFirstBits>(row, scales, FirstForm());
    if constexpr (kSecondBits > 0) {
      sum += (2 << kSecondShift) *
             Plane<kSecondBits>(row + 16 * kFirstBlocks, scales, kTwoForms ? SecondForm() : FirstForm());
    }
    for (int group = Lane(); group < kGroups; group += 32) {
      sum -= kCentre * scales[group] * static_cast<int>(GroupSums()[group]);
    }
    return SumLanes(sum);
  }

 private:
  __device__ static uint4* FirstForm() { return static_cast<uint4*>(DynamicShared()); }
  __device__ static uint4* SecondForm() { return FirstForm() + kFirstFormBytes / 16; }
  __device__ static unsigned* GroupSums() { return reinterpret_cast<unsigned*>(SecondForm() + SecondFormBytes() / 16); }

  /// Blocks side by side have their columns of one field side by side.
  template <int kBits>
  __device__ static void Put(uint4* form, int quad, unsigned word) {
    constexpr int kQuads = Fields<kBits>::kColumns / 4;
    if (quad / kQuads < kBlocks<kBits>) {
      const int at = quad / 4 % Fields<kBits>::kCount * kBlocks<kBits> + quad / kQuads;
      reinterpret_cast<unsigned*>(form + at)[quad % 4] = word;
    }
  }

  /// The lane's part of the sum of m field n over a plane.
  template <int kBits>
  __device__ static int Plane(const char* plane, const signed char* scales, const uint4* form) {
    constexpr int kUnroll = kBits == 1 ? 2 : 4;  // more fields need more registers
    int sum = 0;
#pragma unroll 1
    for (int first = 0; first < kBlocks<kBits>; first += 32 * kUnroll) {
      uint4 blocks[kUnroll];
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        const int block = first + 32 * i + Lane();
        blocks[i] = uint4{};
        if (block < kBlocks<kBits>) {
          LoadWeights(plane + 16 * block, blocks[i]);
        }
      }
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        const int block = first + 32 * i + Lane();
        if (block < kBlocks<kBits>) {
          sum += Block<kBits>(blocks[i], scales, form, block);
        }
      }
    }
    return sum;
  }

  template <int kBits>
  __device__ static int Block(const uint4& loaded, const signed char* scales, const uint4* form, int block) {
    constexpr int kColumns = Fields<kBits>::kColumns;
    int sum = 0;
#pragma unroll
    for (int field = 0; field < Fields<kBits>::kCount; ++field) {
      const int group = (block * kColumns + 16 * field) / kShape.group;
      // The last block may end in groups that are not there; x is zero there.
      const int scale = kWidth % kColumns == 0 || group < kGroups ? scales[group] : 0;
      sum += scale * Fields<kBits>::Dot(loaded, form[field * kBlocks<kBits> + block], field);
    }
    return sum;
  }
};

/// What a warp tests: all neurons, or those of a list, whose numbers are read one entry ahead.
template <bool kAmong>
struct Tested {
  int count;
  const int* numbers;

  __device__ explicit Tested(const void* list, int all)
      : count(kAmong ? LoadCoherent(static_cast<const int*>(list)) : all),
        numbers(static_cast<const int*>(list) + kIndexEntries) {}
  /// Of entry `entry`; anything behind the last one.
  __device__ int Number(int entry) const {
    if constexpr (kAmong) {
      return entry < count ? LoadCoherent(numbers + entry) : 0;
    }
    return entry;
  }
};

/// flags u8<n> from x f32<1, k>, copy i8<n, ...>, scales i8<n, k / group> and rows f32<n, 3>.
template <QuantizedTestShape kShape>
__device__ inline void QuantizedTest(const void* x, const void* copy, const void* scales, const void* rows,
                                     const void* among, const void* gamma, const void* beta, void* flags, const Dims*) {
  auto* out = static_cast<unsigned char*>(flags);
  if constexpr (kShape.tiling.slots > 0) {
    QuantizedTestByRing<kShape>(x, copy, scales, rows, gamma, beta, out);
  } else {
    using Test = QuantizedTestByLoads<kShape>;
    WaitForEarlier();
    const Input<kShape.k, kShape.norm, kShape.tiling.threads> input(x, gamma, beta);
    const ByteRounding<kShape.levels> rounding = Test::Stage(input);
    constexpr int kWarps = kShape.tiling.threads / 32;
    const Tested<kShape.among> tested(among, kShape.n);
    int entry = Warp() * Blocks() + Block();
    int row = tested.Number(entry);
    while (entry < tested.count) {
      const int step = kWarps * Blocks();
      const int next = tested.Number(entry + step);
      const CopyRow early = CopyRow::Of(rows, row);
      const int dot =
          Test::Product(static_cast<const char*>(copy) + static_cast<long long>(row) * Test::kRowBytes,
                        static_cast<const signed char*>(scales) + static_cast<long long>(row) * Test::kGroups);
      if (Lane() == 0) {
        out[entry] = rounding.IsListed(early.values, kShape.margin, dot) ? 1 : 0;
      }
      entry += step;
      row = next;
    }
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_QUANTIZEDTEST_CUH_
