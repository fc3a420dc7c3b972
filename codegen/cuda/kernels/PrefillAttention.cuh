// attention for many tokens: a block has one head and a tile of its queries, and streams K and V past them through
// shared memory, tile by tile, with a running maximum and sum for each query. Scores exist for one tile at a time, and
// a row of the cache is read once for each tile of queries.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_PREFILLATTENTION_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_PREFILLATTENTION_CUH_

#include "Attention.cuh"

namespace dejavu {

struct PrefillAttentionShape {
  int heads;
  int head_dim;
  int positions;
  float scale;
  int threads;
  int queries;  ///< Of a tile.
  int keys;     ///< Of a tile.
};

/// A tile of queries of one head, by one block.
template <PrefillAttentionShape kShape>
class AttentionTile {
 public:
  static constexpr int kQueries = kShape.queries;
  static constexpr int kKeys = kShape.keys;
  static constexpr int kQuads = kShape.head_dim / 4;
  static constexpr int kWarps = kShape.threads / 32;
  static constexpr long long kWidth = static_cast<long long>(kShape.heads) * kShape.head_dim;
  // An odd number of quads from row to row: eight rows side by side are in different banks.
  static constexpr int kPitch = kQuads + 1;
  static constexpr int kScorePitch = kKeys + 4;
  static_assert(kShape.head_dim % 8 == 0 && kShape.head_dim <= 128);
  static_assert(kQueries == 32 && kKeys == 64 && kWarps == 8, "the work is cut for these");

  /// `number` counts the tiles of all heads: those of one tile of queries side by side.
  __device__ AttentionTile(const float* qkv, float* cache, float* y, int tokens, int past, int number)
      : tokens_(tokens), past_(past), first_(number / kShape.heads * kQueries) {
    const long long of_head = static_cast<long long>(number % kShape.heads) * kShape.head_dim;
    keys_ = cache + of_head * kShape.positions;
    values_ = keys_ + kWidth * kShape.positions;
    new_ = qkv + of_head;
    y_ = y + of_head;
    auto* shared = static_cast<float4*>(DynamicShared());
    query_tile_ = shared;
    key_tile_ = query_tile_ + kQueries * kPitch;
    value_tile_ = key_tile_ + kKeys * kPitch;
    scores_ = reinterpret_cast<float*>(value_tile_ + kKeys * kQuads);
    factors_ = scores_ + kQueries * kScorePitch;
  }

  __device__ void Attend() {
    const int end = past_ + min(tokens_, first_ + kQueries);
    CopyTile<kPitch>(key_tile_, 1, 0, end);
    CommitCopies();
    LoadQueries();
    StoreNew();
    for (int first = 0; first < end; first += kKeys) {
      // K is there, and all have done with V and the weights before it.
      WaitForCopies<0>();
      __syncthreads();
      CopyTile<kQuads>(value_tile_, 2, first, end);
      CommitCopies();
      Score(first);
      __syncthreads();
      if (first + kKeys < end) {
        CopyTile<kPitch>(key_tile_, 1, first + kKeys, end);
      }
      CommitCopies();
      Weigh();
      WaitForCopies<1>();
      __syncthreads();
      AddValues();
    }
    Finish();
  }

 private:
  static constexpr int kRowsOfWarp = kQueries / kWarps;

  // Scores: a thread has the queries lane % 8 + 8 i and the keys 4 warp + lane / 8 + 32 j. Lanes side by side read rows
  // side by side.
  static constexpr int kScoreQueries = kQueries / 8;
  static constexpr int kScoreKeys = kKeys / (4 * kWarps);

  // Sums of values: a warp has eight quads of columns and four groups of queries; narrow heads have smaller groups, so
  // that all warps have work.
  static constexpr int kSumQueries = kQuads > 16 ? 4 : kQuads > 8 ? 2 : 1;
  static constexpr int kGroups = kQueries / kSumQueries;
  static_assert(CeilDiv(kQuads, 8) * (kGroups / 4) <= kWarps);

  __device__ static int SumQuad() { return Warp() / (kGroups / 4) * 8 + Lane() % 8; }
  __device__ static int SumQuery(int i) { return Warp() % (kGroups / 4) * 4 + Lane() / 8 + i * kGroups; }

  /// A row of K (part 1) or V (part 2). New ones come straight from qkv, as other blocks may not have stored them yet.
  __device__ const float* Row(int part, int position) const {
    if (position < past_) {
      return (part == 1 ? keys_ : values_) + static_cast<long long>(position) * kShape.head_dim;
    }
    return new_ + (3LL * (position - past_) + part) * kWidth;
  }

  /// Starts to copy kKeys rows from position `first`. Those past the end become zeros: what lies there may be anything,
  /// and a weight of zero doesn't make it zero.
  template <int kTilePitch>
  __device__ void CopyTile(float4* tile, int part, int first, int end) const {
#pragma unroll 4
    for (int i = Thread(); i < kKeys * kQuads; i += kShape.threads) {
      const int row = i / kQuads;
      const int quad = i % kQuads;
      const bool is_there = first + row < end;
      CopyAsync(tile + row * kTilePitch + quad, Row(part, is_there ? first + row : past_) + 4 * quad, is_there);
    }
  }

  __device__ void LoadQueries() {
    for (int i = Thread(); i < kQueries * kQuads; i += kShape.threads) {
      const int token = first_ + i / kQuads;
      const int quad = i % kQuads;
      query_tile_[i / kQuads * kPitch + quad] =
          token < tokens_ ? LoadQuad(new_ + 3LL * token * kWidth, 4 * quad) : float4{0, 0, 0, 0};
    }
#pragma unroll
    for (int i = 0; i < kSumQueries; ++i) {
      sums_[i] = {0, 0, 0, 0};
    }
#pragma unroll
    for (int i = 0; i < kRowsOfWarp; ++i) {
      max_[i] = NegativeInfinity();
      total_[i] = 0;
    }
  }

  /// Puts K and V of this tile's tokens into the cache.
  __device__ void StoreNew() const {
    const int count = min(tokens_ - first_, kQueries) * 2 * kQuads;
    for (int i = Thread(); i < count; i += kShape.threads) {
      const int position = past_ + first_ + i / (2 * kQuads);
      const int part = 1 + i / kQuads % 2;
      const int quad = i % kQuads;
      float* row = (part == 1 ? keys_ : values_) + static_cast<long long>(position) * kShape.head_dim;
      StoreQuad(row, 4 * quad, LoadQuad(Row(part, position), 4 * quad));
    }
  }

  /// Scores of the keys from position `first`; minus infinity for those after a query's own.
  __device__ void Score(int first) const {
    const int query = Lane() % 8;
    const int key = 4 * Warp() + Lane() / 8;
    float dots[kScoreQueries][kScoreKeys] = {};
#pragma unroll 4
    for (int quad = 0; quad < kQuads; ++quad) {
      float4 k[kScoreKeys];
#pragma unroll
      for (int j = 0; j < kScoreKeys; ++j) {
        k[j] = key_tile_[(key + 4 * kWarps * j) * kPitch + quad];
      }
#pragma unroll
      for (int i = 0; i < kScoreQueries; ++i) {
        const float4 q = query_tile_[(query + 8 * i) * kPitch + quad];
#pragma unroll
        for (int j = 0; j < kScoreKeys; ++j) {
          float& dot = dots[i][j];
          dot = fmaf(q.x, k[j].x, dot);
          dot = fmaf(q.y, k[j].y, dot);
          dot = fmaf(q.z, k[j].z, dot);
          dot = fmaf(q.w, k[j].w, dot);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kScoreQueries; ++i) {
      const int own = past_ + first_ + query + 8 * i;
#pragma unroll
      for (int j = 0; j < kScoreKeys; ++j) {
        const int column = key + 4 * kWarps * j;
        scores_[(query + 8 * i) * kScorePitch + column] =
            first + column <= own ? dots[i][j] * kShape.scale : NegativeInfinity();
      }
    }
  }

  /// Scores become weights under the new maximum; a warp has the queries from kRowsOfWarp times its number on.
  __device__ void Weigh() {
#pragma unroll
    for (int i = 0; i < kRowsOfWarp; ++i) {
      const int query = Warp() * kRowsOfWarp + i;
      float* row = scores_ + query * kScorePitch;
      const float left = row[Lane()];
      const float right = row[Lane() + 32];
      float max = fmaxf(left, right);
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2) {
        max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, offset));
      }
      max = fmaxf(max, max_[i]);
      const float factor = Rescale(max_[i], max);
      const float left_weight = WeightOf(left, max);
      const float right_weight = WeightOf(right, max);
      row[Lane()] = left_weight;
      row[Lane() + 32] = right_weight;
      max_[i] = max;
      total_[i] = total_[i] * factor + SumLanes(left_weight + right_weight);
      if (Lane() == 0) {
        factors_[query] = factor;
      }
    }
  }

  __device__ void AddValues() {
    if (SumQuad() >= kQuads) {
      return;
    }
#pragma unroll
    for (int i = 0; i < kSumQueries; ++i) {
      const float factor = factors_[SumQuery(i)];
      sums_[i] = {sums_[i].x * factor, sums_[i].y * factor, sums_[i].z * factor, sums_[i].w * factor};
    }
#pragma unroll 2
    for (int key = 0; key < kKeys; key += 4) {
      float4 v[4];
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        v[k] = value_tile_[(key + k) * kQuads + SumQuad()];
      }
#pragma unroll
      for (int i = 0; i < kSumQueries; ++i) {
        const float4 weights = *reinterpret_cast<const float4*>(scores_ + SumQuery(i) * kScorePitch + key);
        const float w[4] = {weights.x, weights.y, weights.z, weights.w};
#pragma unroll
        for (int k = 0; k < 4; ++k) {
          sums_[i].x = fmaf(w[k], v[k].x, sums_[i].x);
          sums_[i].y = fmaf(w[k], v[k].y, sums_[i].y);
          sums_[i].z = fmaf(w[k], v[k].z, sums_[i].z);
          sums_[i].w = fmaf(w[k], v[k].w, sums_[i].w);
        }
      }
    }
  }

  __device__ void Finish() {
    __syncthreads();
    if (Lane() == 0) {
#pragma unroll
      for (int i = 0; i < kRowsOfWarp; ++i) {
        factors_[Warp() * kRowsOfWarp + i] = total_[i];
      }
    }
    __syncthreads();
    if (SumQuad() >= kQuads) {
      return;
    }
#pragma unroll
    for (int i = 0; i < kSumQueries; ++i) {
      const int token = first_ + SumQuery(i);
      if (token < tokens_) {
        const float total = factors_[SumQuery(i)];
        StoreQuad(y_ + token * kWidth, 4 * SumQuad(),
                  {sums_[i].x / total, sums_[i].y / total, sums_[i].z / total, sums_[i].w / total});
      }
    }
  }

  float* keys_;
  float* values_;
  const float* new_;
  float* y_;
  int tokens_;
  int past_;
  int first_;  // token of this call
  float4* query_tile_;
  float4* key_tile_;
  float4* value_tile_;
  float* scores_;
  float* factors_;  // by query: what its sums are worth under the new maximum; at the end the total weight
  float4 sums_[kSumQueries];
  float max_[kRowsOfWarp];
  float total_[kRowsOfWarp];
};

/// As Attention(), for a number of tokens that the call says.
template <PrefillAttentionShape kShape>
__device__ inline void PrefillAttention(const void* qkv, void* cache, const void* heads, void* y, void* new_cache,
                                        const Dims* dims) {
  static_cast<void>(heads);  // those of all are attended
  static_cast<void>(new_cache);
  WaitForEarlier();
  const auto tokens = static_cast<int>(dims->tokens);
  const int tiles = CeilDiv(tokens, kShape.queries) * kShape.heads;
  for (int tile = Block(); tile < tiles; tile += Blocks()) {
    AttentionTile<kShape> work(static_cast<const float*>(qkv), static_cast<float*>(cache), static_cast<float*>(y),
                               tokens, static_cast<int>(dims->past), tile);
    work.Attend();
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_PREFILLATTENTION_CUH_
