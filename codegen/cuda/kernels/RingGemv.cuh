// Dot products of matrix rows with one vector, where the hardware copies in bulk (sm_90). Each multiprocessor has one
// block, and each block a range of the rows, which come through a ring (BulkRing.cuh). The threads hold the vector in
// registers, each the same columns for every row.
//
// A sum is added up in an order that depends on the tiling alone: over a thread's columns, over the lanes, over the
// parts of a row, over the warps. It is the same on any number of blocks.
//
// Several products can go through one ring, one after the other. It doesn't run empty between them.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_

#include "BulkRing.cuh"
#include "Gemv.cuh"

namespace dejavu {

/// Adds up each of the values over the lanes. The lanes share the sums: lane i has that of value i / (32 / kCount).
template <int kCount, int kOffset = 16, typename T>
__device__ inline T SumLanesOfEach(const T (&values)[kCount]) {
  static_assert(kCount <= 32 && (kCount & (kCount - 1)) == 0);
  if constexpr (kCount == 1) {
    return SumLanes<2 * kOffset>(values[0]);
  } else {
    // Halves the values that a lane is in charge of.
    T half[kCount / 2];
    const bool upper = (Lane() & kOffset) != 0;
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) {
      const T given = upper ? values[i] : values[i + kCount / 2];
      const T kept = upper ? values[i + kCount / 2] : values[i];
      half[i] = kept + __shfl_xor_sync(kAllLanes, given, kOffset);
    }
    return SumLanesOfEach<kCount / 2, kOffset / 2>(half);
  }
}

/// Bytes that come beside each row: kSideBytes of a Math that has them. Its MultiplyAdd gets the row's as well.
template <typename Math, typename = void>
struct SideBytesOf {
  static constexpr int kValue = 0;
};
template <typename Math>
struct SideBytesOf<Math, decltype(static_cast<void>(Math::kSideBytes))> {
  static constexpr int kValue = Math::kSideBytes;
};

/// y[i] = row(i) . x for all rows of a grid; Math as in Gemv. Of the tiling, `rows` are in a slot, and a thread takes
/// `unroll` loads of each, `chunk` columns at a time. The block has one warp more than the tiling's threads.
template <typename Math, int kWidth, GemvTiling kTiling>
class RingGemv {
 public:
  using Load = typename Math::Load;
  using Operand = typename Math::Operand;
  using Sum = typename Math::Sum;
  static constexpr int kThreads = kTiling.threads;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kRows = kTiling.rows;
  static constexpr int kSlots = kTiling.slots;
  static constexpr int kLoad = Math::kLoad;
  static constexpr int kLoads = kTiling.unroll;
  static constexpr int kChunk = kTiling.chunk;
  static constexpr int kChunks = CeilDiv(kWidth, kChunk);
  static constexpr int kPartBytes = kTiling.chunk / Math::kLoad * 16;  ///< Of a row, in a slot.
  static constexpr int kSideBytes = SideBytesOf<Math>::kValue;
  /// Rows whose sums wait in shared memory until all warps have theirs.
  static constexpr int kRowsOfPass = kThreads < 128 ? kThreads : 128;
  /// Whether every thread always has all of its columns.
  static constexpr bool kWhole = kWidth % kTiling.chunk == 0 && kTiling.chunk == kThreads * kLoads * kLoad;
  static_assert(kRowsOfPass % 32 == 0);
  static_assert(kTiling.chunk <= kThreads * kLoads * kLoad, "some columns have no thread");
  static_assert(sizeof(typename Math::Load) == 16 && kWidth % kLoad == 0 && kTiling.chunk % kLoad == 0,
                "copies are of 16 bytes each");
  static_assert(kSideBytes == 0 || kChunks == 1, "what is beside a row comes with the whole of it");

  /// The rows of a block: `rows` of them, `step` apart.
  struct Share {
    int begin;
    int rows;
    int step;

    [[nodiscard]] __device__ int Row(int i) const { return begin + i * step; }
  };
  /// Rows side by side; with kSpread, those that are known before their number is: one of each as many as the blocks.
  template <bool kSpread>
  __device__ static Share ShareOf(int rows) {
    const int rest = rows % Blocks();
    const int mine = rows / Blocks() + (Block() < rest ? 1 : 0);
    return kSpread ? Share{Block(), mine, Blocks()} : Share{rows / Blocks() * Block() + min(Block(), rest), mine, 1};
  }

  /// As BulkRing::Start().
  __device__ static bool Start() { return Ring::Start(); }

  /// By the warp that copies: brings the block's share of `rows` rows to the ring, in the order of Run(). `row_at(i)`
  /// is the address of row i, and row_at.Side(i) that of what comes beside it.
  template <bool kSpread = false, typename RowAt>
  __device__ void Copy(int rows, RowAt row_at) {
    static_assert(kSideBytes == 0 || !kSpread, "what is beside rows comes for several of them");
    CopyShare(ShareOf<kSpread>(rows), row_at);
  }
  /// The same for a share of the block's own.
  template <typename RowAt>
  __device__ void CopyShare(const Share& share, RowAt row_at) {
    for (int pass = 0; pass < share.rows; pass += kRowsOfPass) {
      const int end = min(pass + kRowsOfPass, share.rows);
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        const int bytes = ColumnsOf(chunk) / Math::kLoad * 16;
        const auto part_at = [&](int i) {
          return static_cast<const char*>(row_at(share.Row(pass + i))) + chunk * kPartBytes;
        };
        if constexpr (kSideBytes > 0) {
          ring_.Copy(end - pass, bytes, part_at, row_at.Side(share.begin + pass), share.begin + pass);
        } else {
          ring_.Copy(end - pass, bytes, part_at);
        }
      }
    }
  }

  /// The first column of this thread's load number i of a part, and whether the part has it.
  __device__ static int Column(int i) { return (Thread() + i * kThreads) * kLoad; }
  __device__ static bool Has(int i, int chunk) { return kWhole || Column(i) < ColumnsOf(chunk); }

  /// Room for a value of each warp. There are two, to be used in turns.
  template <typename T>
  __device__ static T* OfWarps(int which) {
    return reinterpret_cast<T*>(State().of_warps[which]);
  }

  /// Shared memory that is free until the first Run().
  __device__ static unsigned* FreeWords() { return reinterpret_cast<unsigned*>(State().sums); }
  static constexpr int kFreeBytes = 2 * kWarps * kRowsOfPass * 4;

  /// By the threads for which Start() was true: what rows are multiplied with. `read(chunk, vector)` brings this
  /// thread's columns of a part of x.
  template <typename Read>
  class Product {
   public:
    using SumOfRow = Sum;
    static constexpr int kSumsOfRow = 1;

    __device__ explicit Product(Read read) : read_(read) { read_(0, vector_); }
    /// Around a part of the rows.
    __device__ void Begin(int chunk) {
      if constexpr (kChunks > 1) {
        read_(chunk + 1 < kChunks ? chunk + 1 : 0, next_);
      }
    }
    __device__ void End() {
      if constexpr (kChunks > 1) {
#pragma unroll
        for (int i = 0; i < kLoads; ++i) {
          vector_[i] = next_[i];
        }
      }
    }
    /// The columns of the part that comes next.
    __device__ const Operand (&vector() const)[kLoads] { return vector_; }
    /// `side` is what is beside the row.
    __device__ void Add(const Load& load, int i, const char* side, Sum* sum) const {
      if constexpr (kSideBytes > 0) {
        *sum = Math::MultiplyAdd(load, vector_[i], reinterpret_cast<const signed char*>(side), Column(i), *sum);
      } else {
        *sum = Math::MultiplyAdd(load, vector_[i], *sum);
      }
    }

   private:
    Read read_;
    Operand vector_[kLoads];
    Operand next_[kLoads];
  };

  /// By the threads for which Start() was true, once for each Copy() and with as many rows. For each row i, one thread
  /// calls early = prepare(i) before its sum is known and finish(i, sum, early) then.
  template <bool kSpread = false, typename Read, typename Prepare, typename Finish>
  __device__ void Run(int rows, Product<Read>& product, Prepare prepare, Finish finish) {
    RunShare<kSpread>(ShareOf<kSpread>(rows), product, prepare, finish);
  }

  /// The same where a row of the ring is kOfRow rows of another product, right behind each other; their sums have the
  /// numbers kOfRow i and those that follow. `multiply(load, i, sums)` adds the thread's load number i of the row to
  /// these sums.
  template <int kOfRow, typename SumOfRow, typename Multiply, typename Prepare, typename Finish>
  __device__ void RunSeveral(int rows, Multiply multiply, Prepare prepare, Finish finish) {
    static_assert(kChunks == 1, "the rows would not be right behind each other");
    SeveralProducts<kOfRow, SumOfRow, Multiply> product(multiply);
    RunShare(ShareOf<false>(rows), product, prepare, finish);
  }

  /// Once for each CopyShare() and with the same share, some rows in each pass. `product` is like Product, and has
  /// kSumsOfRow sums of a row, those of row i with the numbers kSumsOfRow i and those that follow.
  template <bool kSpread = false, typename P, typename Prepare, typename Finish>
  __device__ void RunShare(const Share& share, P& product, Prepare prepare, Finish finish) {
    using S = typename P::SumOfRow;
    static_assert(sizeof(S) == sizeof(Sum));
    constexpr int kOfRow = P::kSumsOfRow;
    constexpr int kRowsAtOnce = kRowsOfPass / kOfRow;
    static_assert(kOfRow == 1 || !kSpread, "several rows in one are side by side");
    static_assert(kRowsAtOnce % kRows == 0, "a slot would have rows of two passes");
    for (int first = 0; first < share.rows; first += kRowsAtOnce) {
      const int count = min(kRowsAtOnce, share.rows - first);
      // While some threads add up the sums of a pass, the others write those of the next. They meet before those after.
      auto& sums = reinterpret_cast<S(&)[kWarps][kRowsOfPass]>(State().sums[pass_ % 2]);
      ++pass_;
      const int mine = kSpread ? share.Row(first + Thread()) : share.Row(first) * kOfRow + Thread();
      const bool finishes = Thread() < count * kOfRow;
      decltype(prepare(mine)) early{};
      if (finishes) {
        early = prepare(mine);
      }
#pragma unroll 1
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        product.Begin(chunk);
        MultiplyPart(product, chunk, share.begin + first, count, sums[Warp()]);
        product.End();
      }
      SyncFirst(kThreads);
      if (finishes) {
        S sum = sums[0][Thread()];
#pragma unroll
        for (int warp = 1; warp < kWarps; ++warp) {
          sum += sums[warp][Thread()];
        }
        finish(mine, sum, early);
      }
    }
  }

 private:
  /// What RunSeveral() does.
  template <int kOfRow, typename Sums, typename Multiply>
  struct SeveralProducts {
    using SumOfRow = Sums;
    static constexpr int kSumsOfRow = kOfRow;

    __device__ explicit SeveralProducts(Multiply multiply) : multiply(multiply) {}
    __device__ void Begin(int) {}
    __device__ void End() {}
    __device__ void Add(const Load& load, int i, const char*, Sums* sums) const { multiply(load, i, sums); }

    Multiply multiply;
  };

  using Ring = BulkRing<kThreads, kSlots, kRows, kPartBytes, kSideBytes>;

  /// All of the block's shared memory.
  struct Shared {
    typename Ring::Shared ring;
    Sum sums[2][kWarps][kRowsOfPass];
    unsigned of_warps[2][32];
  };
  static_assert(sizeof(Shared) <= kTiling.shared, "the launch brings too little shared memory");
  __device__ static Shared& State() { return *static_cast<Shared*>(DynamicShared()); }

  __device__ static int ColumnsOf(int chunk) {
    return kWidth % kTiling.chunk == 0 || chunk + 1 < kChunks ? kTiling.chunk : kWidth % kTiling.chunk;
  }

  /// Adds the warp's part of each row's sums to `sums`, of `rows` rows from number `begin` on. Where a slot has fewer
  /// rows, the other sums are of no use.
  template <typename P>
  __device__ void MultiplyPart(const P& product, int chunk, int begin, int rows, typename P::SumOfRow* sums) {
    constexpr int kOfRow = P::kSumsOfRow;
    constexpr int kOfSlot = kRows * kOfRow;
#pragma unroll 1
    for (int first = 0; first < rows; first += kRows) {
      typename P::SumOfRow of_rows[kOfSlot] = {};
      const char(*slot)[kPartBytes] = ring_.Next();
      const char* sides = ring_.Sides(begin + first);
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        const auto* loads = reinterpret_cast<const Load*>(slot[row]) + Thread();
#pragma unroll
        for (int i = 0; i < kLoads; ++i) {
          if (Has(i, chunk)) {
            product.Add(loads[i * kThreads], i, sides + row * kSideBytes, of_rows + row * kOfRow);
          }
        }
      }
      const auto sum = SumLanesOfEach(of_rows);
      // Only now have the thread's loads surely come: the sums are made of them.
      ring_.Release();
      const int number = first * kOfRow + Lane() / (32 / kOfSlot);
      if (Lane() % (32 / kOfSlot) == 0 && number < rows * kOfRow) {
        sums[number] = chunk == 0 ? sum : sums[number] + sum;
      }
    }
  }

  Ring ring_;
  int pass_ = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_
