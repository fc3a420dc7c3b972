// lazy_qkv: rows of q, k and v for the listed heads alone. A head that slept gets the keys and values of the tokens
// that it missed from their inputs: each of its rows is multiplied with this token's vector and with some of theirs at
// a time, so that a short sleep costs no more reading. After a long one the rows of k and v come again.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_LAZYQKV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_LAZYQKV_CUH_

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
  /// token's: `missed` from `position` on. Only in the first pass over the rows this token counts, and are there rows
  /// of q.
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
    return {head, pass, row, rows, position, max(min(past - position, kVectors - 1), 0)};
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
    } else if (row >= kHeadDim && vector <= piece.missed) {
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

/// The rows of all listed heads one after the other, as each warp sees them. A lane has some of the heads.
template <LazyQkvShape kShape>
class LazyRows {
 public:
  using Heads = LazyHeads<kShape>;
  using Piece = typename Heads::Piece;
  static constexpr int kHeadDim = Heads::kHeadDim;

  /// By whole warps.
  __device__ void Load(const Heads& heads) {
    const int count = LoadCoherent(heads.list);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int entry = 32 * part + Lane();
      heads_[part] = entry < count ? LoadCoherent(heads.list + kIndexEntries + entry) : -1;
      known_[part] = entry < count ? heads.FilledOf(heads_[part]) : heads.past;
      const int rows = heads_[part] < 0 ? 0 : RowsOf(heads.past - known_[part]);
      int end = rows;
#pragma unroll
      for (int offset = 1; offset < 32; offset *= 2) {
        const int before = __shfl_up_sync(kAllLanes, end, offset);
        end += Lane() >= offset ? before : 0;
      }
      begins_[part] = total_ + end - rows;
      total_ += __shfl_sync(kAllLanes, end, 31);
    }
  }

  __device__ int total() const { return total_; }

  /// body(piece) for the rows [begin, end) in their order; by whole warps.
  template <typename Body>
  __device__ void ForPieces(const Heads& heads, int begin, int end, Body body) const {
    while (begin < end) {
      // The last entry that begins at `begin` or before has that row, as each has some.
      int before = 0;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        before += __popc(__ballot_sync(kAllLanes, heads_[part] >= 0 && begins_[part] <= begin));
      }
      const int head = Of(heads_, before - 1);
      const int known = Of(known_, before - 1);
      const int first = Of(begins_, before - 1);
      const int at = begin - first;
      const int last = min(end - first, RowsOf(heads.past - known));
      // The first pass has rows of q, k and v; others those of k and v.
      const int pass = at < 3 * kHeadDim ? 0 : (at - kHeadDim) / (2 * kHeadDim);
      const int row = at - 2 * kHeadDim * pass;
      const int count = min(last - at, 3 * kHeadDim - row);
      body(heads.PieceOf(head, known, pass, row, count));
      begin += count;
    }
  }

 private:
  static constexpr int kParts = CeilDiv(kShape.heads, 32);

  __device__ static int RowsOf(int missed) { return kHeadDim * (1 + 2 * Heads::Passes(missed)); }

  /// What a lane has of entry number `entry`.
  __device__ static int Of(const int (&values)[kParts], int entry) {
    int value = __shfl_sync(kAllLanes, values[0], entry % 32);
#pragma unroll
    for (int part = 1; part < kParts; ++part) {
      const int other = __shfl_sync(kAllLanes, values[part], entry % 32);
      value = entry / 32 == part ? other : value;
    }
    return value;
  }

  int heads_[kParts];  ///< -1 where a lane has none.
  int known_[kParts];
  int begins_[kParts];
  int total_ = 0;
};

/// A product of a ring's rows with several vectors, of which a thread has its columns in registers.
template <LazyQkvShape kShape, typename Ring>
class LazyProduct {
 public:
  using SumOfRow = float;
  static constexpr int kSumsOfRow = kShape.vectors;
  using Heads = LazyHeads<kShape>;

  template <typename Columns>
  __device__ explicit LazyProduct(const Columns& columns) {
    columns.Load(0, vectors_[0]);
  }

  /// This token's input becomes one of those that are kept.
  __device__ void Keep(const Heads& heads) const {
    ForQuads([&](int i, int j) {
      const float* values = vectors_[0][i] + j;
      StoreQuad(heads.inputs, static_cast<long long>(heads.past) * kShape.width + Ring::Column(i) + j,
                {values[0], values[1], values[2], values[3]});
    });
  }

  __device__ void LoadMissed(const Heads& heads, const typename Heads::Piece& piece) {
    missed_ = piece.missed;
#pragma unroll
    for (int v = 1; v < kShape.vectors; ++v) {
      const long long row = static_cast<long long>(piece.position + v - 1) * kShape.width;
      ForQuads([&](int i, int j) {
        const float4 quad = v <= missed_ ? LoadQuad(heads.inputs, row + Ring::Column(i) + j) : float4{0, 0, 0, 0};
        vectors_[v][i][j] = quad.x;
        vectors_[v][i][j + 1] = quad.y;
        vectors_[v][i][j + 2] = quad.z;
        vectors_[v][i][j + 3] = quad.w;
      });
    }
  }

  __device__ void Begin(int) {}
  __device__ void End() {}
  __device__ void Add(const uint4& load, int i, const char*, float* sums) const {
    float weights[Ring::kLoad];
    Widen<kShape.dtype>(load, weights);
    AddVector(weights, i, 0, sums);
    if (missed_ > 0) {
#pragma unroll
      for (int v = 1; v < kShape.vectors; ++v) {
        AddVector(weights, i, v, sums);
      }
    }
  }

 private:
  template <typename Body>
  __device__ static void ForQuads(Body body) {
#pragma unroll
    for (int i = 0; i < Ring::kLoads; ++i) {
      if (Ring::Has(i, 0)) {
#pragma unroll
        for (int j = 0; j < Ring::kLoad; j += 4) {
          body(i, j);
        }
      }
    }
  }

  __device__ void AddVector(const float (&weights)[Ring::kLoad], int i, int v, float* sums) const {
#pragma unroll
    for (int j = 0; j < Ring::kLoad; ++j) {
      sums[v] = fmaf(weights[j], vectors_[v][i][j], sums[v]);
    }
  }

  int missed_ = 0;
  float vectors_[kShape.vectors][Ring::kLoads][Ring::kLoad];
};

/// Through a ring: each block has a share of the rows, whose vectors it brings to registers piece by piece.
template <LazyQkvShape kShape, typename First>
__device__ inline void LazyQkvByRing(const LazyHeads<kShape>& heads, const FloatVector& vector, const First& first) {
  using Ring = RingGemv<FloatMath<kShape.dtype>, kShape.width, kShape.tiling>;
  using Piece = typename LazyHeads<kShape>::Piece;
  static_assert(Ring::kChunks == 1, "the vectors are in registers");
  Ring ring;
  LazyRows<kShape> rows;
  if (!Ring::Start()) {
    first.Copy(ring);
    if constexpr (!kShape.early_list) {
      WaitForEarlier();
    }
    rows.Load(heads);
    const typename Ring::Share share = Ring::template ShareOf<false>(rows.total());
    rows.ForPieces(heads, share.begin, share.begin + share.rows, [&](const Piece& piece) {
      ring.CopyShare({0, piece.rows, 1}, [&](int i) { return heads.Row(piece.head, piece.row + i); });
    });
    return;
  }
  const RingVector<Ring, kShape.width, kShape.norm> columns(vector);
  if constexpr (kShape.early_list) {
    rows.Load(heads);
  }
  WaitForEarlier();
  if constexpr (!kShape.early_list) {
    rows.Load(heads);
  }
  first.Run(ring, columns);
  LazyProduct<kShape, Ring> product(columns);
  if (Block() == Blocks() - 1) {
    product.Keep(heads);
  }
  const typename Ring::Share share = Ring::template ShareOf<false>(rows.total());
  rows.ForPieces(heads, share.begin, share.begin + share.rows, [&](const Piece& piece) {
    using Early = typename LazyHeads<kShape>::Early;
    product.LoadMissed(heads, piece);
    const auto prepare = [&](int i) {
      return heads.Prepare(piece, piece.row + i / kShape.vectors, i % kShape.vectors);
    };
    const auto finish = [&](int, float sum, const Early& early) { heads.Finish(sum, early); };
    ring.RunShare({0, piece.rows, 1}, product, prepare, finish);
  });
}

/// One row with all its vectors, by a warp, with this token's vector in shared memory.
template <LazyQkvShape kShape>
__device__ inline void MultiplyLazyRow(const LazyHeads<kShape>& heads, int head, int row) {
  using Math = FloatMath<kShape.dtype>;
  constexpr int kVectors = kShape.vectors;
  const char* weights = heads.Row(head, row);
  const int known = row < LazyHeads<kShape>::kHeadDim ? heads.past : heads.FilledOf(head);
  const int passes = LazyHeads<kShape>::Passes(heads.past - known);
  for (int pass = 0; pass < passes; ++pass) {
    const auto piece = heads.PieceOf(head, known, pass, row, 1);
    float sums[kVectors] = {};
#pragma unroll 2
    for (int segment = 0; segment < CeilDiv(kShape.width, Math::kSegment); ++segment) {
      const int column = segment * Math::kSegment + Lane() * Math::kLoad;
      if (column < kShape.width) {
        uint4 load;
        LoadWeights(weights + column / Math::kLoad * sizeof(load), load);
        sums[0] = Math::MultiplyAdd(load, Math::Read(segment), sums[0]);
#pragma unroll
        for (int v = 1; v < kVectors; ++v) {
          if (v <= piece.missed) {
            const long long at = static_cast<long long>(piece.position + v - 1) * kShape.width + column;
            typename Math::Operand x;
#pragma unroll
            for (int j = 0; j < Math::kLoad; j += 4) {
              const float4 quad = LoadQuad(heads.inputs, at + j);
              x.values[j] = quad.x;
              x.values[j + 1] = quad.y;
              x.values[j + 2] = quad.z;
              x.values[j + 3] = quad.w;
            }
            sums[v] = Math::MultiplyAdd(load, x, sums[v]);
          }
        }
      }
    }
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const float sum = SumLanes(sums[v]);
      if (Lane() == 0) {
        heads.Finish(sum, heads.Prepare(piece, row, v));
      }
    }
  }
}

/// By plain loads.
template <LazyQkvShape kShape>
__device__ inline void LazyQkvByWarps(const LazyHeads<kShape>& heads, const FloatVector& vector) {
  constexpr int kThreads = kShape.tiling.threads;
  constexpr int kRowsOfHead = 3 * LazyHeads<kShape>::kHeadDim;
  WaitForEarlier();
  const Input<kShape.width, kShape.norm, kThreads> input(vector.x, vector.gamma, vector.beta);
  FloatMath<kShape.dtype>::template Stage<kThreads>(input, 0, kShape.width);
  if (Block() == Blocks() - 1) {
    for (int quad = Thread(); quad < kShape.width / 4; quad += kThreads) {
      StoreQuad(heads.inputs, static_cast<long long>(heads.past) * kShape.width + 4 * quad, input.Quad(4 * quad));
    }
  }
  __syncthreads();
  const int rows = LoadCoherent(heads.list) * kRowsOfHead;
  for (int row = Warp() * Blocks() + Block(); row < rows; row += Blocks() * (kThreads / 32)) {
    const int head = LoadCoherent(heads.list + kIndexEntries + row / kRowsOfHead);
    MultiplyLazyRow<kShape>(heads, head, row % kRowsOfHead);
  }
}

/// y f32<1, 3 * width> = w<3 * width, width> x + bias, x normalised first where the shape says so, for rows whose head
/// is listed; the keys and values that these heads missed go to cache f32<2, heads, positions, head_dim>, and x to the
/// end of inputs f32<1, 1, positions, width>. `first` as in MultiplyFloats().
template <LazyQkvShape kShape, typename First = NothingFirst>
__device__ inline void LazyQkv(const void* x, const void* w, const void* bias, const void* heads, void* cache,
                               void* inputs, const void* filled, const void* gamma, const void* beta, void* y,
                               void* new_cache, void* new_inputs, const Dims* dims, const First& first = First()) {
  static_cast<void>(new_cache);
  static_cast<void>(new_inputs);
  const LazyHeads<kShape> all = {static_cast<const char*>(w),    static_cast<const float*>(bias),
                                 static_cast<const int*>(heads), static_cast<float*>(cache),
                                 static_cast<float*>(inputs),    static_cast<const int*>(filled),
                                 static_cast<float*>(y),         static_cast<int>(dims->past)};
  if constexpr (kShape.tiling.slots > 0) {
    LazyQkvByRing<kShape>(all, {x, gamma, beta}, first);
  } else {
    LazyQkvByWarps<kShape>(all, {x, gamma, beta});
  }
}

struct KeepInputsShape {
  int tokens;
  int width;
  int heads;
};

/// x f32<tokens, width> becomes the next rows of inputs f32<1, 1, positions, width>, and filled i32<1, heads, 1, 1> the
/// number of rows.
template <KeepInputsShape kShape>
__device__ inline void KeepInputs(const void* x, void* inputs, void* filled, void* new_inputs, void* new_filled,
                                  const Dims* dims) {
  static_cast<void>(new_inputs);
  static_cast<void>(new_filled);
  WaitForEarlier();
  const int tokens = Tokens<kShape.tokens>(dims);
  const long long count = static_cast<long long>(tokens) * (kShape.width / 4);
  const long long first = dims->past * (kShape.width / 4);
  const GridShare share = ShareOfGrid();
  for (long long i = share.begin; i < count; i += share.step) {
    StoreQuad(inputs, 4 * (first + i), LoadQuad(x, 4 * i));
  }
  for (long long head = share.begin; head < kShape.heads; head += share.step) {
    static_cast<int*>(filled)[head] = static_cast<int>(dims->past) + tokens;
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_LAZYQKV_CUH_
