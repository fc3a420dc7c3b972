// Rows that come to shared memory by bulk copies (sm_90), through a ring of slots. One warp of the block only copies,
// as soon as the rows are known; the others read. Weights wait for no launch, so the ring fills while those ahead end,
// and that hides what starts and ends of launches cost.
//
// Two barriers in shared memory guard a slot. `full` ends its phase when the bytes of the slot's rows have come;
// `empty` when all threads that read have read them. (Each of them arrives by itself. One for its warp would do,
// and is no faster, but racecheck doesn't see that the others are done: the compiler drops the __syncwarp.) Round
// number i of the ring waits for phase i of `full` before it reads, and for phase i - 1 of `empty` before it copies, of
// which there is none in round 0. A barrier is waited for by its phase's parity, and no warp can be two rounds ahead of
// another, so the parity is enough.
//
// What else there is of each row can come beside it, with one copy for all rows of a slot: these are neighbours in
// memory, whose start modulo 128 is the same in the slot.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_BULKRING_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_BULKRING_CUH_

#include "BulkCopy.cuh"
#include "Common.cuh"

namespace dejavu {

/// What comes beside the rows of slots.
template <int kSlots, int kBytes>
struct RingSides {
  char sides[kSlots][kBytes];
};
template <int kSlots>
struct RingSides<kSlots, 0> {};

/// Slots of kRows rows of at most kRowBytes each, at the start of the block's dynamic shared memory, where copies are
/// aligned best; kThreads threads read. Each thread has one such object. kSideBytes come beside each row.
template <int kThreads, int kSlots, int kRows, int kRowBytes, int kSideBytes = 0>
class BulkRing {
 public:
  static constexpr int kSlotSideBytes = kSideBytes == 0 ? 0 : CeilDiv(kRows * kSideBytes + 112, 128) * 128;
  struct Shared : RingSides<kSlots, kSlotSideBytes> {
    char slots[kSlots][kRows][kRowBytes];
    Barrier full[kSlots];
    Barrier empty[kSlots];
  };
  static_assert(kThreads % 32 == 0 && 32 % kRows == 0 && kRowBytes % 16 == 0 && kSideBytes % 16 == 0,
                "copies are of 16 bytes each");
  static_assert(kRows * (kRowBytes + kSideBytes) < 1 << 20, "a barrier counts no more bytes");

  /// By all threads of the block, once, before anything else. False in the warp that copies, which is the last.
  __device__ static bool Start() {
    if (threadIdx.x == 0) {
      for (int i = 0; i < kSlots; ++i) {
        InitBarrier(State().full[i], 1);
        InitBarrier(State().empty[i], kThreads);
      }
      FenceBarriers();
    }
    __syncthreads();
    return Warp() < kThreads / 32;
  }

  /// By the warp that copies: `bytes` of each of `count` rows, kRows to a slot. `row_at(i)` is the address of row i;
  /// each lane asks for one row of 32. `sides` is what is beside row 0, which is number `number` to who reads it.
  template <typename RowAt>
  __device__ void Copy(int count, int bytes, RowAt row_at, const char* sides = nullptr, int number = 0) {
    for (int first = 0; first < count; first += 32) {
      const char* from = nullptr;
      if (first + Lane() < count) {
        from = row_at(first + Lane());
      }
      for (int row = first; row < min(first + 32, count); row += kRows) {
        CopySlot(from, row - first, min(kRows, count - row), bytes, sides + row * kSideBytes, number + row);
      }
    }
  }

  /// By each thread that reads: the next slot, when it is full. The thread gives it back by Release() when its reads
  /// have come.
  __device__ const char (*Next() const)[kRowBytes] {
    WaitBarrier(State().full[place_.slot], place_.parity);
    return State().slots[place_.slot];
  }
  /// What is beside the rows of the slot in work, the first of which is number `number`; null if nothing is.
  [[nodiscard]] __device__ const char* Sides(int number) const {
    if constexpr (kSideBytes > 0) {
      return State().sides[place_.slot] + number * kSideBytes % 128;
    } else {
      return nullptr;
    }
  }
  __device__ void Release() {
    Arrive(State().empty[place_.slot]);
    place_.Advance();
  }

 private:
  __device__ static Shared& State() { return *static_cast<Shared*>(DynamicShared()); }

  /// The rows that the lanes first..first + rows - 1 have, and what is beside them.
  __device__ void CopySlot(const char* from, int first, int rows, int bytes, const char* sides, int number) {
    Shared& state = State();
    WaitBarrier(state.empty[place_.slot], place_.parity ^ 1);
    if (Lane() == 0) {
      ArriveExpecting(state.full[place_.slot], rows * (bytes + kSideBytes));
    }
    __syncwarp();
    if (Lane() >= first && Lane() < first + rows) {
      CopyBulk(state.slots[place_.slot][Lane() - first], from, bytes, state.full[place_.slot]);
    }
    if constexpr (kSideBytes > 0) {
      if (Lane() == 0) {
        CopyBulk(state.sides[place_.slot] + number * kSideBytes % 128, sides, rows * kSideBytes,
                 state.full[place_.slot]);
      }
    }
    place_.Advance();
  }

  RingPlace<kSlots> place_;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_BULKRING_CUH_
