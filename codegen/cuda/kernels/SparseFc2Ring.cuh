// sparse_fc2 where the hardware copies in bulk (sm_90). Each multiprocessor has one block: some columns of some entries
// of the list. One of its warps copies those columns of row after row to a ring of slots in shared memory, the others
// multiply them by h and add them up.
//
// Which rows are needed is only known with h, when the launches ahead have ended. If the list is known before, the
// first slots are filled with all of its rows: what starts and ends of launches cost hides that. From then on rows
// whose h is zero are left out.
//
// A slot's `full` barrier has two arrivals beside the bytes: one says how many bytes come, the other that h is there.
// After the last slot of an item comes one without rows. Otherwise the ring is as in RingGemv.cuh.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2RING_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2RING_CUH_

#include "BulkCopy.cuh"
#include "SparseFc2Items.cuh"

namespace dejavu {

template <SparseFc2Shape kShape>
class SparseFc2Ring {
 public:
  using Items = SparseFc2Items<kShape>;
  using Item = typename Items::Item;
  static constexpr int kThreads = kShape.threads;
  static constexpr int kWarps = kThreads / 32;
  static constexpr int kRows = kShape.rows;
  static constexpr int kSlots = kShape.slots;
  static constexpr int kAhead = kShape.early_list ? kShape.ahead : 0;
  static constexpr int kLoad = PerLoad(kShape.dtype);
  static constexpr int kLoads = kShape.tile / kLoad;  ///< Of a row: one for each thread of a team.
  static constexpr int kTeams = kThreads / kLoads;    ///< They take rows in turns.
  static_assert(kThreads % 32 == 0 && 32 % kRows == 0 && kAhead <= kSlots && kAhead * kRows % 32 == 0);
  static_assert(kShape.tile % kLoad == 0 && kShape.width % kLoad == 0 && kTeams > 0);
  static_assert(kRows * kLoads * 16 < 1 << 20, "a barrier counts no more bytes");

  __device__ explicit SparseFc2Ring(const Items& items) : items_(items) {}

  /// By all threads of the block.
  __device__ void Run(const void* bias, const void* residual, void* y, void* scratch) {
    if (threadIdx.x == 0) {
      for (int i = 0; i < kSlots; ++i) {
        InitBarrier(State().full[i], 2);
        InitBarrier(State().empty[i], kWarps);
      }
      FenceBarriers();
    }
    __syncthreads();
    if (Warp() == kWarps) {
      Copy();
      return;
    }
    WaitForEarlier();
    const int count = items_.ListCount();
    for (int i = Block(); i < items_.Count(); i += Blocks()) {
      const Item item = items_.At(i, count);
      AddUp(item);
      SyncFirst(kThreads);
      items_.Finish(item, &SumOfTeams, bias, residual, y, scratch);
      SyncFirst(kThreads);
    }
  }

 private:
  using Place = RingPlace<kSlots>;

  /// All of the block's shared memory. The slots come first, where copies are aligned best.
  struct Shared {
    char slots[kSlots][kRows][kLoads * 16];
    float4 sums[kTeams][kShape.tile / 4];
    float h[kSlots][kRows];
    int rows[kSlots];
    Barrier full[kSlots];
    Barrier empty[kSlots];
  };
  static_assert(sizeof(Shared) <= kShape.shared, "the launch brings too little shared memory");
  __device__ static Shared& State() { return *static_cast<Shared*>(DynamicShared()); }

  struct Entry {
    int neuron;
    float h;
  };

  /// By the warp that copies. Each lane has one entry of 32.
  __device__ void Copy() {
    int first = CopyAhead();
    const int count = items_.ListCount();
    for (int i = Block(); i < items_.Count(); i += Blocks()) {
      const Item item = items_.At(i, count);
      Entry next = EntryAt(item.begin + first + Lane(), item.end);
      for (int from = item.begin + first; from < item.end; from += 32) {
        const Entry entry = next;
        next = EntryAt(from + 32 + Lane(), item.end);
        const unsigned positives = __ballot_sync(kAllLanes, entry.h != 0);
#pragma unroll 1
        for (int lane = 0; lane < 32; lane += kRows) {
          CopyRows(item, entry, positives & kAllLanes >> (32 - kRows) << lane);
        }
      }
      CopyRows(item, {}, 0, /*kLast=*/true);
      first = 0;
    }
  }

  /// Fills the first slots with the first rows of the block's first item, waits for the launches ahead, and brings
  /// those rows' h. Returns how many rows that are.
  __device__ int CopyAhead() {
    if constexpr (kAhead == 0) {
      WaitForEarlier();
      return 0;
    } else {
      constexpr int kBatches = kAhead * kRows / 32;
      Shared& state = State();
      Item item{};
      if (Block() < items_.Count()) {
        item = items_.At(Block(), items_.ListCount());
      }
      int neurons[kBatches];
#pragma unroll
      for (int batch = 0; batch < kBatches; ++batch) {
        const int entry = item.begin + 32 * batch + Lane();
        neurons[batch] = entry < item.end ? items_.Neuron(entry) : 0;
      }
      const int bytes = item.columns * Bytes(kShape.dtype);
#pragma unroll
      for (int slot = 0; slot < kAhead; ++slot) {
        const int rows = min(kRows, item.end - item.begin - slot * kRows);
        const int row = Lane() - slot * kRows % 32;
        if (rows > 0) {
          if (Lane() == 0) {
            state.rows[slot] = rows;
            ArriveExpecting(state.full[slot], rows * bytes);
          }
          __syncwarp();
          if (row >= 0 && row < rows) {
            CopyBulk(state.slots[slot][row], items_.Row(neurons[slot * kRows / 32], item.column), bytes,
                     state.full[slot]);
          }
        }
      }
      WaitForEarlier();
      float h[kBatches];
#pragma unroll
      for (int batch = 0; batch < kBatches; ++batch) {
        const int entry = item.begin + 32 * batch + Lane();
        h[batch] = entry < item.end ? items_.H(entry) : 0;
      }
#pragma unroll
      for (int slot = 0; slot < kAhead; ++slot) {
        const int row = Lane() - slot * kRows % 32;
        if (slot * kRows < item.end - item.begin) {
          if (row >= 0 && row < kRows) {
            state.h[slot][row] = h[slot * kRows / 32];
          }
          __syncwarp();
          if (Lane() == 0) {
            Arrive(state.full[slot]);
          }
          place_.Advance();
        }
      }
      return min(kAhead * kRows, item.end - item.begin);
    }
  }

  __device__ Entry EntryAt(int entry, int end) const {
    return entry < end ? Entry{items_.Neuron(entry), items_.H(entry)} : Entry{0, 0};
  }

  /// Fills a slot with the rows of the lanes in `which`, unless there are none; with `last` an empty one all the same.
  __device__ void CopyRows(const Item& item, const Entry& entry, unsigned which, bool last = false) {
    const int rows = __popc(which);
    if (rows == 0 && !last) {
      return;
    }
    Shared& state = State();
    const int slot = place_.slot;
    const int bytes = item.columns * Bytes(kShape.dtype);
    if (Lane() == 0) {
      WaitBarrier(state.empty[slot], place_.parity ^ 1);
      state.rows[slot] = rows;
      ArriveExpecting(state.full[slot], rows * bytes);
    }
    __syncwarp();
    if ((which >> Lane() & 1) != 0) {
      const int row = __popc(which & ((1U << Lane()) - 1));
      state.h[slot][row] = entry.h;
      CopyBulk(state.slots[slot][row], items_.Row(entry.neuron, item.column), bytes, state.full[slot]);
    }
    __syncwarp();
    if (Lane() == 0) {
      Arrive(state.full[slot]);
    }
    place_.Advance();
  }

  /// By the warps that add up: the teams' sums of an item.
  __device__ void AddUp(const Item& item) {
    Shared& state = State();
    const int team = Thread() / kLoads;
    const int load = Thread() % kLoads;
    const bool works = team < kTeams && load * kLoad < item.columns;
    float sums[kLoad] = {};
    int rows = 1;
    while (rows > 0) {
      const int slot = place_.slot;
      WaitBarrier(state.full[slot], place_.parity);
      rows = state.rows[slot];
      for (int row = works ? team : rows; row < rows; row += kTeams) {
        const float h = state.h[slot][row];
        if (h != 0) {
          float values[kLoad];
          Widen<kShape.dtype>(reinterpret_cast<const uint4*>(state.slots[slot][row])[load], values);
#pragma unroll
          for (int j = 0; j < kLoad; ++j) {
            sums[j] = fmaf(h, values[j], sums[j]);
          }
        }
      }
      __syncwarp();
      if (Lane() == 0) {
        Arrive(state.empty[slot]);
      }
      place_.Advance();
    }
    if (works) {
#pragma unroll
      for (int j = 0; j < kLoad; j += 4) {
        state.sums[team][(load * kLoad + j) / 4] = {sums[j], sums[j + 1], sums[j + 2], sums[j + 3]};
      }
    }
  }

  /// Of columns [column, column + 4) of the item.
  __device__ static float4 SumOfTeams(int column) {
    float4 sum = State().sums[0][column / 4];
#pragma unroll
    for (int team = 1; team < kTeams; ++team) {
      sum = Items::Plus(sum, State().sums[team][column / 4]);
    }
    return sum;
  }

  Items items_;
  Place place_;
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SPARSEFC2RING_CUH_
