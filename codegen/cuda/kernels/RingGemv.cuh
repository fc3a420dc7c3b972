// Dot products of matrix rows with one vector, where the hardware copies in bulk (sm_90). Each multiprocessor has one
// block, and each block a range of the rows. One of its warps only copies: it brings row after row to a ring of slots
// in shared memory, as soon as the kernel starts. Weights wait for no launch, so the ring fills while those ahead end,
// and that hides what starts and ends of launches cost. The other warps hold the vector in registers, each thread the
// same columns for every row.
//
// Two barriers in shared memory guard a slot. `full` ends its phase when the bytes of the slot's rows have come;
// `empty` when all threads that multiply have read them. (Each of them arrives by itself. One for its warp would do,
// and is no faster, but racecheck doesn't see that the others are done: the compiler drops the __syncwarp.) Round
// number i of the ring waits for phase i of `full` before it reads, and for phase i - 1 of `empty` before it copies, of
// which there is none in round 0. A barrier is waited for by its phase's parity, and no warp can be two rounds ahead of
// another, so the parity is enough.
//
// A sum is added up in an order that depends on the tiling alone: over a thread's columns, over the lanes, over the
// parts of a row, over the warps. It is the same on any number of blocks.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_

#include "BulkCopy.cuh"
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

/// y[i] = row(i) . x for all rows of a grid; Math as in Gemv. Of the tiling, `rows` are in a slot, and a thread takes
/// `unroll` loads of each, `chunk` columns at a time. The block has one warp more than the tiling's threads.
template <typename Math, int kWidth, GemvTiling kTiling>
class RingGemv {
 public:
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
  static constexpr int kPartBytes = kTiling.chunk * Math::kElementBytes;  ///< Of a row, in a slot.
  /// Rows whose sums wait in shared memory until all warps have theirs.
  static constexpr int kRowsOfPass = kThreads < 128 ? kThreads : 128;
  /// Whether every thread always has all of its columns.
  static constexpr bool kWhole = kWidth % kTiling.chunk == 0 && kTiling.chunk == kThreads * kLoads * kLoad;
  static_assert(kThreads % 32 == 0 && kRowsOfPass % 32 == 0 && 32 % kRows == 0);
  static_assert(kTiling.chunk <= kThreads * kLoads * kLoad, "some columns have no thread");
  static_assert(sizeof(typename Math::Load) == 16 && kWidth % kLoad == 0 && kTiling.chunk % kLoad == 0,
                "copies are of 16 bytes each");
  static_assert(kRows * kPartBytes < 1 << 20, "a barrier counts no more bytes");

  /// By all threads of the block: takes the block's share of `rows` rows. `row_at(i)` is the address of row i. Returns
  /// false in the warp that copies, when all of its copies are on their way: it has no more to do.
  template <typename RowAt>
  __device__ bool Start(int rows, RowAt row_at) {
    const int rest = rows % Blocks();
    rows_ = rows / Blocks() + (Block() < rest ? 1 : 0);
    begin_ = rows / Blocks() * Block() + min(Block(), rest);
    if (threadIdx.x == 0) {
      for (int i = 0; i < kSlots; ++i) {
        InitBarrier(State().full[i], 1);
        InitBarrier(State().empty[i], kThreads);
      }
      FenceBarriers();
    }
    __syncthreads();
    if (Warp() < kWarps) {
      return true;
    }
    Copy(row_at);
    return false;
  }

  /// The first column of this thread's load number i of a part, and whether the part has it.
  __device__ static int Column(int i) { return (Thread() + i * kThreads) * kLoad; }
  __device__ static bool Has(int i, int chunk) { return kWhole || Column(i) < ColumnsOf(chunk); }

  /// Room for a value of each warp. There are two, to be used in turns.
  template <typename T>
  __device__ static T* OfWarps(int which) {
    return reinterpret_cast<T*>(State().of_warps[which]);
  }

  /// By the threads for which Start() was true. `read(chunk, vector)` brings this thread's columns of a part of x. For
  /// each row i, one thread calls early = prepare(i) before its sum is known and finish(i, sum, early) then.
  template <typename Read, typename Prepare, typename Finish>
  __device__ void Run(Read read, Prepare prepare, Finish finish) {
    Place place;
    Operand vector[kLoads];
    Operand next[kLoads];
    read(0, vector);
    for (int pass = 0; pass < rows_; pass += kRowsOfPass) {
      const int rows = min(kRowsOfPass, rows_ - pass);
      // While some threads add up the sums of a pass, the others write those of the next. They meet before those after.
      Sum(&sums)[kWarps][kRowsOfPass] = State().sums[pass / kRowsOfPass % 2];
      const int mine = begin_ + pass + Thread();
      const bool finishes = Thread() < rows;
      decltype(prepare(mine)) early{};
      if (finishes) {
        early = prepare(mine);
      }
#pragma unroll 1
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        if constexpr (kChunks > 1) {
          read(chunk + 1 < kChunks ? chunk + 1 : 0, next);
        }
        MultiplyPart(vector, chunk, rows, sums[Warp()], place);
        if constexpr (kChunks > 1) {
#pragma unroll
          for (int i = 0; i < kLoads; ++i) {
            vector[i] = next[i];
          }
        }
      }
      SyncFirst(kThreads);
      if (finishes) {
        Sum sum = sums[0][Thread()];
#pragma unroll
        for (int warp = 1; warp < kWarps; ++warp) {
          sum += sums[warp][Thread()];
        }
        finish(mine, sum, early);
      }
    }
  }

 private:
  using Place = RingPlace<kSlots>;

  /// All of the block's shared memory. The slots come first, where copies are aligned best.
  struct Shared {
    char slots[kSlots][kRows][kPartBytes];
    Sum sums[2][kWarps][kRowsOfPass];
    unsigned of_warps[2][32];
    Barrier full[kSlots];
    Barrier empty[kSlots];
  };
  static_assert(sizeof(Shared) <= kTiling.shared, "the launch brings too little shared memory");
  __device__ static Shared& State() { return *static_cast<Shared*>(DynamicShared()); }

  __device__ static int ColumnsOf(int chunk) {
    return kWidth % kTiling.chunk == 0 || chunk + 1 < kChunks ? kTiling.chunk : kWidth % kTiling.chunk;
  }

  /// Brings all of the block's rows to the ring, in the order of Run(). Each lane has one row of 32.
  template <typename RowAt>
  __device__ void Copy(RowAt row_at) {
    Place place;
    for (int pass = 0; pass < rows_; pass += kRowsOfPass) {
      const int end = min(pass + kRowsOfPass, rows_);
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        const int bytes = ColumnsOf(chunk) * Math::kElementBytes;
        for (int first = pass; first < end; first += 32) {
          const char* from = nullptr;
          if (first + Lane() < end) {
            from = static_cast<const char*>(row_at(begin_ + first + Lane())) + chunk * kPartBytes;
          }
          for (int row = first; row < min(first + 32, end); row += kRows) {
            CopyRows(from, row - first, min(kRows, end - row), bytes, place);
            place.Advance();
          }
        }
      }
    }
  }

  /// The parts of the rows that the lanes first..first + rows - 1 have.
  __device__ static void CopyRows(const char* from, int first, int rows, int bytes, const Place& place) {
    Shared& state = State();
    WaitBarrier(state.empty[place.slot], place.parity ^ 1);
    if (Lane() == 0) {
      ArriveExpecting(state.full[place.slot], rows * bytes);
    }
    __syncwarp();
    if (Lane() >= first && Lane() < first + rows) {
      CopyBulk(state.slots[place.slot][Lane() - first], from, bytes, state.full[place.slot]);
    }
  }

  /// Adds the warp's part of each row's sum to `sums`. Where a slot has fewer rows, the other sums are of no use.
  __device__ static void MultiplyPart(const Operand (&vector)[kLoads], int chunk, int rows, Sum* sums, Place& place) {
#pragma unroll 1
    for (int first = 0; first < rows; first += kRows) {
      Sum of_rows[kRows];
      WaitBarrier(State().full[place.slot], place.parity);
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        of_rows[row] = 0;
        const auto* loads = reinterpret_cast<const typename Math::Load*>(State().slots[place.slot][row]) + Thread();
#pragma unroll
        for (int i = 0; i < kLoads; ++i) {
          if (Has(i, chunk)) {
            of_rows[row] = Math::MultiplyAdd(loads[i * kThreads], vector[i], of_rows[row]);
          }
        }
      }
      const Sum sum = SumLanesOfEach(of_rows);
      // Only now have the thread's loads surely come: the sums are made of them.
      Arrive(State().empty[place.slot]);
      place.Advance();
      const int row = first + Lane() / (32 / kRows);
      if (Lane() % (32 / kRows) == 0 && row < rows) {
        sums[row] = chunk == 0 ? sum : sums[row] + sum;
      }
    }
  }

  int begin_;  ///< The block's first row.
  int rows_;   ///< How many it has.
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_
