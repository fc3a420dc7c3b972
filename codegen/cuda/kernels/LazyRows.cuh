// The rows that lazy_qkv reads: those of q, k and v of the listed heads, again and again where a head slept for long,
// and how the blocks of a ring share them.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_LAZYROWS_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_LAZYROWS_CUH_

#include "FloatGemv.cuh"

namespace dejavu {

struct LazyQkvShape {
  int width;
  int heads;
  int positions;
  DType dtype;
  bool bias;
  bool early_list;  ///< The list is there before the launches ahead have ended.
  int vectors;      ///< That a row is multiplied with at a time: this token's, and those that a head missed.
  Norm norm;
  GemvTiling tiling;
};

/// The arguments, and where the sums belong.
template <LazyQkvShape kShape>
struct LazyHeads {
  static constexpr int kHeadDim = kShape.width / kShape.heads;
  static constexpr int kVectors = kShape.vectors;

  const char* w;
  const float* bias;
  const int* list;
  float* cache;
  float* inputs;
  const int* filled;
  float* y;
  int past;

  /// How many positions of the head are known.
  __device__ int FilledOf(int head) const {
    return static_cast<int>(min(static_cast<unsigned>(LoadCoherent(filled + head)), static_cast<unsigned>(past)));
  }

  /// Some rows of a head, of q, k and v below each other, and the positions that they are multiplied for beside this
  /// token's: `missed` from `position` on, none for q. Only in the first pass over the rows this token counts, and are
  /// there rows of q.
  struct Piece {
    int head;
    int pass;
    int row;
    int rows;
    int position;
    int missed;
  };
  __device__ Piece PieceOf(int head, int known, int pass, int row, int rows) const {
    const int position = known + pass * (kVectors - 1);
    const int missed = row < kHeadDim ? 0 : max(min(past - position, kVectors - 1), 0);
    return {head, pass, row, rows, position, missed};
  }
  __device__ static int Passes(int missed) { return max(CeilDiv(missed, kVectors - 1), 1); }

  __device__ static int NumberOf(int head, int row) {
    return row / kHeadDim * kShape.width + head * kHeadDim + row % kHeadDim;
  }
  __device__ const char* Row(int head, int row) const {
    return w + static_cast<long long>(NumberOf(head, row)) * (kShape.width * Bytes(kShape.dtype));
  }

  /// What is known of a sum before it is: its place, or null for one of no use, and its bias.
  struct Early {
    float* to;
    float bias;
  };
  __device__ Early Prepare(const Piece& piece, int row, int vector) const {
    const int number = NumberOf(piece.head, row);
    Early early = {nullptr, kShape.bias ? bias[number] : 0};
    if (vector == 0) {
      early.to = piece.pass == 0 ? y + number : nullptr;
    } else if (vector <= piece.missed) {
      const long long head = (row / kHeadDim - 1) * kShape.heads + piece.head;
      early.to = cache + (head * kShape.positions + piece.position + vector - 1) * kHeadDim + row % kHeadDim;
    }
    return early;
  }
  __device__ static void Finish(float sum, const Early& early) {
    if (early.to != nullptr) {
      *early.to = sum + early.bias;
    }
  }
};

/// Where a row of a listed head is: entry number `entry` of the list, and the row's number among the head's, pass after
/// pass.
struct LazyPlace {
  int entry;
  int row;
};

/// The rows of all listed heads one after the other; in shared memory, as registers are full of vectors. Rows that are
/// multiplied with more vectors take longer, so blocks share the cost of the rows rather than their number.
template <LazyQkvShape kShape>
struct LazyRows {
  using Heads = LazyHeads<kShape>;
  using Piece = typename Heads::Piece;
  static constexpr int kHeadDim = Heads::kHeadDim;

  int filled[kShape.heads];  ///< By head: the positions that are known.
  int heads[kShape.heads];   ///< By entry of the list, like `begins`.
  int begins[kShape.heads];  ///< What the rows before cost.
  int entries;
  int total;
  LazyPlace share[2];  ///< Where the block's rows begin and end.

  /// By one whole warp. It asks for all that it may need at once.
  __device__ void Load(const Heads& all) {
    constexpr int kParts = CeilDiv(kShape.heads, 32);
    int listed[kParts];
    const int count = LoadCoherent(all.list);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int number = 32 * part + Lane();
      if (number < kShape.heads) {
        listed[part] = LoadCoherent(all.list + kIndexEntries + number);
        filled[number] = all.FilledOf(number);
      }
    }
    __syncwarp();
    int before = 0;
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int entry = 32 * part + Lane();
      const int cost = entry < count ? CostOf(all.past - filled[listed[part]]) : 0;
      int end = cost;
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const int others = __shfl_up_sync(kAllLanes, end, offset);
        end += Lane() >= offset ? others : 0;
      }
      if (entry < count) {
        heads[entry] = listed[part];
        begins[entry] = before + end - cost;
      }
      before += __shfl_sync(kAllLanes, end, 31);
    }
    if (Lane() == 0) {
      entries = count;
      total = before;
    }
    __syncwarp();
    for (int i = 0; i < 2; ++i) {
      const LazyPlace place = PlaceOf(all, static_cast<int>(static_cast<long long>(total) * (Block() + i) / Blocks()));
      if (Lane() == 0) {
        share[i] = place;
      }
    }
  }

  /// The block's rows from `place` on that are a piece; none behind the last. Moves `place` behind them.
  __device__ Piece Next(const Heads& all, LazyPlace& place) const {
    const LazyPlace& end = share[1];
    if (place.entry > end.entry || (place.entry == end.entry && place.row >= end.row)) {
      return {};
    }
    const int head = heads[place.entry];
    const int known = filled[head];
    const int all_rows = RowsOf(all.past - known);
    // The first pass has rows of q, k and v; others those of k and v. Those of q are alone where k and v need more.
    const int pass = place.row < 3 * kHeadDim ? 0 : (place.row - kHeadDim) / (2 * kHeadDim);
    const int row = place.row - 2 * kHeadDim * pass;
    const int rest = (row < kHeadDim && known < all.past ? kHeadDim : 3 * kHeadDim) - row;
    const int count = min((place.entry == end.entry ? end.row : all_rows) - place.row, rest);
    place.row += count;
    if (place.row == all_rows) {
      place = {place.entry + 1, 0};
    }
    return all.PieceOf(head, known, pass, row, count);
  }

 private:
  /// What a row costs that is multiplied with `missed` vectors and this token's, chosen by measuring: the vectors have
  /// to come, too.
  static constexpr int kOneVector = 8;
  __device__ static int CostOfRow(int missed) { return kOneVector + 5 * missed; }
  static constexpr int kOthers = kShape.vectors - 1;

  __device__ static int RowsOf(int missed) { return kHeadDim * (1 + 2 * Heads::Passes(missed)); }
  /// Of the rows of k and v in a pass.
  __device__ static int CostOfPass(int missed) { return 2 * kHeadDim * CostOfRow(missed); }
  /// Of all rows of a head.
  __device__ static int CostOf(int missed) {
    const int full = Heads::Passes(missed) - 1;
    return kHeadDim * kOneVector + full * CostOfPass(kOthers) + CostOfPass(missed - full * kOthers);
  }

  /// The first row before which the rows cost no less than `cost`. By one whole warp.
  __device__ LazyPlace PlaceOf(const Heads& all, int cost) const {
    if (cost >= total) {
      return {entries, 0};
    }
    int entry = -1;  // the last that begins no later
    for (int first = 0; first < entries; first += 32) {
      const int mine = first + Lane();
      entry += __popc(__ballot_sync(kAllLanes, mine < entries && begins[mine] <= cost));
    }
    const int missed = all.past - filled[heads[entry]];
    int rest = cost - begins[entry];
    if (rest <= kHeadDim * kOneVector) {
      return {entry, CeilDiv(rest, kOneVector)};
    }
    rest -= kHeadDim * kOneVector;
    const int full = Heads::Passes(missed) - 1;
    const int pass = min(rest / CostOfPass(kOthers), full);
    rest -= pass * CostOfPass(kOthers);
    const int of_row = CostOfRow(pass < full ? kOthers : missed - full * kOthers);
    const int row = kHeadDim * (1 + 2 * pass) + CeilDiv(rest, of_row);
    return row < RowsOf(missed) ? LazyPlace{entry, row} : LazyPlace{entry + 1, 0};
  }
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_LAZYROWS_CUH_
