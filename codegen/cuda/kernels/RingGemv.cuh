// Dot products of matrix rows with one vector, where the hardware copies in bulk (sm_90). One block on each
// multiprocessor has a range of the rows. One of its threads brings them to a ring of slots in shared memory, before
// the vector is known: weights wait for no launch, so the ring fills while those ahead end. The other warps hold the
// vector in registers, each thread the same columns for every row.
//
// A sum is added up in an order that depends on the tiling alone: over a thread's columns, over the lanes, over the
// parts of a row, over the warps. It is the same on any number of blocks.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_

#include "BulkCopy.cuh"
#include "Common.cuh"

namespace dejavu {

/// How the work is cut; the compiler chooses it together with the launch's grid.
struct RingTiling {
  int threads;  ///< That multiply; the block has one more warp, which copies. 0: there is no ring.
  int loads;    ///< Of 16 bytes, which such a thread takes of each row at a time.
  int chunk;    ///< Columns that are in work at a time.
  int rows;     ///< In a slot of the ring.
  int slots;
};

/// Adds up each of the values over the lanes. The lanes share the sums: lane i has that of value i / (32 / kCount).
template <int kCount>
__device__ inline float SumLanesOfEach(float (&values)[kCount]) {
  static_assert(kCount <= 32 && (kCount & (kCount - 1)) == 0);
  // Each step halves the values that a lane is in charge of.
#pragma unroll
  for (int count = kCount, offset = 16; count > 1; count /= 2, offset /= 2) {
    const bool upper = (Lane() & offset) != 0;
#pragma unroll
    for (int i = 0; i < count / 2; ++i) {
      const float given = upper ? values[i] : values[i + count / 2];
      const float kept = upper ? values[i + count / 2] : values[i];
      values[i] = kept + __shfl_xor_sync(kAllLanes, given, offset);
    }
  }
  return SumLanes<32 / kCount>(values[0]);
}

/// y[i] = row(i) . x for the rows of a matrix<count, kWidth>.
template <DType kType, int kWidth, RingTiling kTiling>
class RingGemv {
 public:
  static constexpr int kThreads = kTiling.threads;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kRows = kTiling.rows;
  static constexpr int kSlots = kTiling.slots;
  static constexpr int kLoad = PerLoad(kType);
  static constexpr int kLoads = kTiling.loads;
  static constexpr int kChunks = CeilDiv(kWidth, kTiling.chunk);
  static constexpr int kPartBytes = kTiling.chunk * Bytes(kType);  ///< Of a row, in a slot.
  static constexpr int kSlotBytes = kRows * kPartBytes;
  /// Rows whose sums wait in shared memory until all warps have theirs.
  static constexpr int kRowsOfPass = kThreads < 128 ? kThreads : 128;
  /// Whether every thread always has all of its columns.
  static constexpr bool kWhole = kWidth % kTiling.chunk == 0 && kTiling.chunk == kThreads * kLoads * kLoad;
  static_assert(kThreads % 32 == 0 && kRowsOfPass % kRows == 0);
  static_assert(kTiling.chunk <= kThreads * kLoads * kLoad, "some columns have no thread");
  static_assert(kWidth % kLoad == 0 && kTiling.chunk % kLoad == 0, "copies are of 16 bytes each");
  static_assert(kSlotBytes < 1 << 20, "a barrier counts no more bytes");

  /// By all threads of the block; `count` is the number of rows.
  __device__ explicit RingGemv(int count) {
    const int rest = count % Blocks();
    rows_ = count / Blocks() + (Block() < rest ? 1 : 0);
    begin_ = count / Blocks() * Block() + min(Block(), rest);
    if (threadIdx.x == 0) {
      for (int i = 0; i < kSlots; ++i) {
        InitBarrier(State().full[i], 1);
        InitBarrier(State().empty[i], kWarps);
      }
      FenceBarriers();
    }
    __syncthreads();
  }

  /// Whether the calling thread copies: it then calls Copy(), and the others Multiply().
  __device__ static bool IsCopying() { return Warp() == kWarps; }

  /// Brings all of the block's rows to the ring, one slot after the other as they become free.
  __device__ void Copy(const void* matrix) {
    if (Lane() != 0) {
      return;
    }
    Place place;
    for (int pass = 0; pass < rows_; pass += kRowsOfPass) {
      const int end = min(pass + kRowsOfPass, rows_);
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        for (int row = pass; row < end; row += kRows) {
          CopyRows(static_cast<const char*>(matrix) + (begin_ + row) * kRowBytes, min(kRows, end - row), chunk, place);
          place.Advance();
        }
      }
    }
  }

  /// For each row i, one thread calls early = prepare(i) before its sum is known and finish(i, sum, early) then.
  template <typename Prepare, typename Finish>
  __device__ void Multiply(const float* x, Prepare prepare, Finish finish) {
    Place place;
    Vector vector;
    for (int pass = 0; pass < rows_; pass += kRowsOfPass) {
      const int rows = min(kRowsOfPass, rows_ - pass);
      // While some threads add up the sums of a pass, the others write those of the next. They meet before those after.
      float(&sums)[kWarps][kRowsOfPass] = State().sums[pass / kRowsOfPass % 2];
      const int mine = begin_ + pass + Thread();
      const bool finishes = Thread() < rows;
      decltype(prepare(mine)) early{};
      if (finishes) {
        early = prepare(mine);
      }
#pragma unroll 1
      for (int chunk = 0; chunk < kChunks; ++chunk) {
        if (kChunks > 1 || pass == 0) {
          LoadVector(x, chunk, vector);
        }
#pragma unroll 1
        for (int row = 0; row < rows; row += kRows) {
          const float sum = MultiplyRows(vector, chunk, place);
          place.Advance();
          const int of_lane = row + Lane() / (32 / kRows);
          if (Lane() % (32 / kRows) == 0 && of_lane < rows) {
            float& result = sums[Warp()][of_lane];
            result = chunk == 0 ? sum : result + sum;
          }
        }
      }
      SyncFirst(kThreads);
      if (finishes) {
        float sum = 0;
#pragma unroll
        for (int warp = 0; warp < kWarps; ++warp) {
          sum += sums[warp][Thread()];
        }
        finish(mine, sum, early);
      }
    }
  }

 private:
  static constexpr long long kRowBytes = static_cast<long long>(kWidth) * Bytes(kType);

  /// Floats of the vector that this thread multiplies with.
  struct Vector {
    float values[kLoads][kLoad];
  };

  /// A slot of the ring, and in which of its rounds the ring is.
  struct Place {
    int slot = 0;
    unsigned parity = 0;

    __device__ void Advance() {
      if (++slot == kSlots) {
        slot = 0;
        parity ^= 1;
      }
    }
  };

  struct Shared {
    Barrier full[kSlots];
    Barrier empty[kSlots];
    float sums[2][kWarps][kRowsOfPass];
  };
  __device__ static Shared& State() {
    __shared__ Shared shared;
    return shared;
  }

  __device__ static char* Slot(int slot) { return static_cast<char*>(DynamicShared()) + slot * kSlotBytes; }

  __device__ static int ColumnsOf(int chunk) {
    return kWidth % kTiling.chunk == 0 || chunk + 1 < kChunks ? kTiling.chunk : kWidth % kTiling.chunk;
  }

  /// Whether this thread has columns for its load number i of a part.
  __device__ static bool Has(int i, int chunk) {
    return kWhole || (Thread() + i * kThreads) * kLoad < ColumnsOf(chunk);
  }

  __device__ static void CopyRows(const char* first, int rows, int chunk, const Place& place) {
    const int bytes = ColumnsOf(chunk) * Bytes(kType);
    Barrier& full = State().full[place.slot];
    WaitBarrier(State().empty[place.slot], place.parity ^ 1);
    ArriveExpecting(full, rows * bytes);
    if constexpr (kChunks == 1) {
      CopyBulk(Slot(place.slot), first, rows * bytes, full);
    } else {
      for (int row = 0; row < rows; ++row) {
        CopyBulk(Slot(place.slot) + row * kPartBytes, first + row * kRowBytes + chunk * kPartBytes, bytes, full);
      }
    }
  }

  __device__ static void LoadVector(const float* x, int chunk, Vector& vector) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
#pragma unroll
      for (int j = 0; j < kLoad; j += 4) {
        float4 quad = {0, 0, 0, 0};
        if (Has(i, chunk)) {
          quad = LoadQuad(x, chunk * kTiling.chunk + (Thread() + i * kThreads) * kLoad + j);
        }
        vector.values[i][j] = quad.x;
        vector.values[i][j + 1] = quad.y;
        vector.values[i][j + 2] = quad.z;
        vector.values[i][j + 3] = quad.w;
      }
    }
  }

  /// The warp's part of the sums of the rows in a slot. Where the slot has fewer rows, the others are of no use.
  __device__ static float MultiplyRows(const Vector& vector, int chunk, const Place& place) {
    WaitBarrier(State().full[place.slot], place.parity);
    const char* slot = Slot(place.slot) + Thread() * 16;
    float sums[kRows];
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      sums[row] = 0;
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        if (Has(i, chunk)) {
          float weights[kLoad];
          Widen<kType>(*reinterpret_cast<const uint4*>(slot + row * kPartBytes + i * kThreads * 16), weights);
#pragma unroll
          for (int j = 0; j < kLoad; ++j) {
            sums[row] = fmaf(weights[j], vector.values[i][j], sums[row]);
          }
        }
      }
    }
    __syncwarp();
    if (Lane() == 0) {
      Arrive(State().empty[place.slot]);
    }
    return SumLanesOfEach(sums);
  }

  int begin_;  ///< The block's first row.
  int rows_;   ///< How many it has.
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_RINGGEMV_CUH_
