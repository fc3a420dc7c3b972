// lazy_qkv: rows of q, k and v for the listed heads alone. A head that slept gets the keys and values of the tokens
// that it missed from their inputs: each of its rows is multiplied with this token's vector and with some of theirs at
// a time, so that a short sleep costs no more reading. After a long one the rows of k and v come again.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_LAZYQKV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_LAZYQKV_CUH_

#include "LazyRows.cuh"

namespace dejavu {

/// This token's vector and those that a head missed, of each of which a thread of a ring has its columns in registers.
template <LazyQkvShape kShape, typename Ring>
class LazyVectors {
 public:
  using Heads = LazyHeads<kShape>;

  template <typename Columns>
  __device__ void LoadOwn(const Columns& columns) {
    float values[Ring::kLoads][Ring::kLoad];
    columns.Load(0, values);
#pragma unroll
    for (int i = 0; i < Ring::kLoads; ++i) {
      vectors_[0][i] = FloatMath<kShape.dtype>::OperandOf(values[i]);
    }
  }
  [[nodiscard]] __device__ KnownColumns<Ring> own() const { return {vectors_[0]}; }

  /// This token's input becomes one of those that are kept.
  __device__ void Keep(const Heads& heads) const {
    ForQuads([&](int i, int j) {
      const float* values = vectors_[0][i].values + j;
      StoreQuad(heads.inputs, static_cast<long long>(heads.past) * kShape.width + Ring::Column(i) + j,
                {values[0], values[1], values[2], values[3]});
    });
  }

  __device__ void LoadMissed(const Heads& heads, const typename Heads::Piece& piece) {
#pragma unroll
    for (int v = 1; v < kShape.vectors; ++v) {
      const long long row = static_cast<long long>(piece.position + v - 1) * kShape.width;
      ForQuads([&](int i, int j) {
        const float4 quad = v <= piece.missed ? LoadQuad(heads.inputs, row + Ring::Column(i) + j) : float4{0, 0, 0, 0};
        vectors_[v][i].values[j] = quad.x;
        vectors_[v][i].values[j + 1] = quad.y;
        vectors_[v][i].values[j + 2] = quad.z;
        vectors_[v][i].values[j + 3] = quad.w;
      });
    }
  }
  /// Brings what LoadMissed() reads to the second-level cache.
  __device__ static void PrefetchMissed(const Heads& heads, const typename Heads::Piece& piece) {
    constexpr int kLine = 32;
    const float* begin = heads.inputs + static_cast<long long>(piece.position) * kShape.width;
    for (int line = Thread(); line * kLine < piece.missed * kShape.width; line += Ring::kThreads) {
      PrefetchLine(begin + line * kLine);
    }
  }

  /// The product of a ring's rows with the first kVectors of them.
  template <int kVectors>
  struct Product {
    using SumOfRow = float;
    static constexpr int kSumsOfRow = kVectors <= 2 ? kVectors : kVectors <= 4 ? 4 : 8;  ///< Lanes share them.

    const LazyVectors& all;

    __device__ void Begin(int) {}
    __device__ void End() {}
    __device__ void Add(const uint4& load, int i, const char*, float* sums) const {
      float weights[Ring::kLoad];
      Widen<kShape.dtype>(load, weights);
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
#pragma unroll
        for (int j = 0; j < Ring::kLoad; ++j) {
          sums[v] = fmaf(weights[j], all.vectors_[v][i].values[j], sums[v]);
        }
      }
    }
  };

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

  typename Ring::Operand vectors_[kShape.vectors][Ring::kLoads];
};

/// What a block that has a ring does with its share of the rows, whose vectors its threads bring to registers piece by
/// piece. `others` as in MultiplyFloats().
template <LazyQkvShape kShape, typename Others>
class LazyRing {
 public:
  using Ring = RingGemv<FloatMath<kShape.dtype>, kShape.width, kShape.tiling>;
  using Heads = LazyHeads<kShape>;
  using Piece = typename Heads::Piece;
  static_assert(Ring::kChunks == 1, "the vectors are in registers");

  __device__ LazyRing(const Heads& heads, const Others& others) : heads_(heads), others_(others) {}

  /// By the warp that copies.
  __device__ void Copy(LazyRows<kShape>& rows) {
    others_.Copy(ring_);
    if constexpr (!kShape.early_list) {
      WaitForEarlier();
    }
    rows.Load(heads_);
    __syncwarp();
    ForShare(rows, [&](const Piece& piece) {
      ring_.CopyShare({0, piece.rows, 1}, [&](int i) { return heads_.Row(piece.head, piece.row + i); });
    });
  }

  /// By the others. Where the list is early, so are the inputs that its heads missed.
  __device__ void Multiply(const FloatVector& vector, LazyRows<kShape>& rows) {
    const RingVector<Ring, kShape.width, kShape.norm> columns(vector);
    if constexpr (kShape.early_list) {
      LoadByFirstWarp(rows);
      ForShare(rows, [&](const Piece& piece) { Vectors::PrefetchMissed(heads_, piece); });
      WaitForEarlier();
    } else {
      WaitForEarlier();
      LoadByFirstWarp(rows);
    }
    Vectors vectors;
    vectors.LoadOwn(columns);
    others_.Run(ring_, vectors.own());
    if (Block() == Blocks() - 1) {
      vectors.Keep(heads_);
    }
    MultiplyShare(rows, vectors);
  }

 private:
  using Vectors = LazyVectors<kShape, Ring>;
  static constexpr int kSome = kShape.vectors < 4 ? kShape.vectors : 4;

  __device__ void LoadByFirstWarp(LazyRows<kShape>& rows) const {
    if (Warp() == 0) {
      rows.Load(heads_);
    }
    SyncFirst(kShape.tiling.threads);
  }

  /// body(piece) for all of the block's rows.
  template <typename Body>
  __device__ void ForShare(const LazyRows<kShape>& rows, Body body) const {
    LazyPlace place = rows.share[0];
    for (Piece piece = rows.Next(heads_, place); piece.rows > 0; piece = rows.Next(heads_, place)) {
      body(piece);
    }
  }

  /// While rows are multiplied with this token's vector alone, those of the next piece come.
  __device__ void MultiplyShare(const LazyRows<kShape>& rows, Vectors& vectors) {
    LazyPlace place = rows.share[0];
    Piece piece = rows.Next(heads_, place);
    if (piece.missed > 0) {
      vectors.LoadMissed(heads_, piece);
    }
    while (piece.rows > 0) {
      const Piece next = rows.Next(heads_, place);
      const bool alone = piece.missed == 0;
      if (alone && next.missed > 0) {
        vectors.LoadMissed(heads_, next);
      }
      if (alone) {
        MultiplyPiece<1>(piece, vectors);
      } else if (piece.missed == 1) {
        MultiplyPiece<2>(piece, vectors);
      } else if (kSome == kShape.vectors || piece.missed < kSome) {
        MultiplyPiece<kSome>(piece, vectors);
      } else {
        MultiplyPiece<kShape.vectors>(piece, vectors);
      }
      if (!alone && next.missed > 0) {
        vectors.LoadMissed(heads_, next);
      }
      piece = next;
    }
  }

  template <int kVectors>
  __device__ void MultiplyPiece(const Piece& piece, const Vectors& vectors) {
    using Product = typename Vectors::template Product<kVectors>;
    constexpr int kSums = Product::kSumsOfRow;
    Product product = {vectors};
    const auto prepare = [&](int i) { return heads_.Prepare(piece, piece.row + i / kSums, i % kSums); };
    const auto finish = [&](int, float sum, const typename Heads::Early& early) { heads_.Finish(sum, early); };
    ring_.RunShare({0, piece.rows, 1}, product, prepare, finish);
  }

  Ring ring_;
  const Heads& heads_;
  const Others& others_;
};

template <LazyQkvShape kShape, typename Others>
__device__ inline void LazyQkvByRing(const LazyHeads<kShape>& heads, const FloatVector& vector, const Others& others) {
  // Those who copy rows and those who multiply have one each: nothing but the ring makes them wait for each other.
  __shared__ LazyRows<kShape> of_copies;
  __shared__ LazyRows<kShape> of_products;
  LazyRing<kShape, Others> ring(heads, others);
  if (LazyRing<kShape, Others>::Ring::Start()) {
    ring.Multiply(vector, of_products);
  } else {
    ring.Copy(of_copies);
  }
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
/// end of inputs f32<1, 1, positions, width>. `others` as in MultiplyFloats().
template <LazyQkvShape kShape, typename Others = NoOthers>
__device__ inline void LazyQkv(const void* x, const void* w, const void* bias, const void* heads, void* cache,
                               void* inputs, const void* filled, const void* gamma, const void* beta, void* y,
                               void* new_cache, void* new_inputs, const Dims* dims, const Others& others = Others()) {
  static_cast<void>(new_cache);
  static_cast<void>(new_inputs);
  const LazyHeads<kShape> all = {static_cast<const char*>(w),    static_cast<const float*>(bias),
                                 static_cast<const int*>(heads), static_cast<float*>(cache),
                                 static_cast<float*>(inputs),    static_cast<const int*>(filled),
                                 static_cast<float*>(y),         static_cast<int>(dims->past)};
  if constexpr (kShape.tiling.slots > 0) {
    LazyQkvByRing<kShape>(all, {x, gamma, beta}, others);
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
