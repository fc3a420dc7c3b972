// attention: stores the new K and V in the cache, then softmax(scale q K) V for each head. Positions go to groups of
// lanes, each with its running maximum, sum and values; then the groups of a block are merged, and then the blocks that
// share a long context, in a fixed order.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_ATTENTION_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_ATTENTION_CUH_

#include "BulkCopy.cuh"
#include "Common.cuh"

namespace dejavu {

struct AttentionShape {
  int tokens;
  int heads;
  int head_dim;
  int positions;
  float scale;
  int threads;
  bool batch;         ///< Each token is of another sequence, with a past and a part of the cache of its own.
  int splits;         ///< Blocks for each head at most; more than one only for one token, or one of each sequence.
  int least_context;  ///< Positions that are worth a block.
  bool early_list;    ///< Of heads; it is there before the launches ahead have ended.
};

__device__ inline float NegativeInfinity() { return __uint_as_float(0xFF800000); }

__device__ inline float Exp(float x) { return Exp2(x * 1.4426950408889634F); }

/// What a sum of values with running maximum `old_max` is worth under `new_max`.
__device__ inline float Rescale(float old_max, float new_max) {
  return old_max == new_max ? 1 : Exp(old_max - new_max);
}

/// The weight of a score. One of minus infinity, as of a position that is not there, counts nothing.
__device__ inline float WeightOf(float score, float max) { return score == NegativeInfinity() ? 0 : Exp(score - max); }

/// A piece of the work: one head of one token, or the part of its context that one of several blocks has.
template <AttentionShape kShape>
class AttentionHead {
 public:
  static constexpr int kQuads = kShape.head_dim / 4;
  /// Lanes that share a position.
  static constexpr int kLanes = kQuads <= 2 ? 2 : kQuads <= 4 ? 4 : kQuads <= 8 ? 8 : kQuads <= 16 ? 16 : 32;
  static constexpr int kQuadsOfLane = CeilDiv(kQuads, kLanes);
  static constexpr int kGroups = kShape.threads / kLanes;
  static constexpr int kUnroll = kQuadsOfLane < 4 ? 4 / kQuadsOfLane : 1;
  static constexpr int kRound = kGroups * kUnroll;  ///< Positions that a block has in registers at a time.
  static constexpr long long kWidth = static_cast<long long>(kShape.heads) * kShape.head_dim;
  static_assert(kShape.head_dim % 8 == 0 && kQuadsOfLane <= 8, "a head does not fit the registers");
  static_assert(kShape.threads % 32 == 0);
  static_assert(kShape.splits <= 32, "a lane merges a block's part");
  static constexpr bool kOneToken = kShape.tokens == 1 || kShape.batch;  ///< Of a sequence.
  static_assert(kShape.splits == 1 || (kOneToken && kShape.tokens * kShape.heads * 4 <= kScratchCounterBytes));

  /// `number` counts the pieces of all heads of all tokens.
  __device__ AttentionHead(const float* qkv, float* cache, float* y, const Dims* dims, int number)
      : max_(NegativeInfinity()), total_(0) {
    head_ = number / kShape.splits;
    split_ = number % kShape.splits;
    const int row = kShape.tokens == 1 ? 0 : head_ / kShape.heads;
    const int sequence = kShape.batch ? row : 0;
    token_ = kShape.batch ? 0 : row;
    past_ = static_cast<int>(PastOf(dims, sequence));
    const int head = kShape.tokens == 1 ? head_ : head_ % kShape.heads;
    const long long of_head = static_cast<long long>(head) * kShape.head_dim;
    keys_ = cache + (2 * sequence * kWidth + of_head) * kShape.positions;
    new_ = qkv + 3 * sequence * kWidth + of_head;
    y_ = y + row * kWidth + of_head;
    const int context = past_ + token_ + 1;
    splits_ = kShape.splits == 1 ? 1 : min(CeilDiv(context, kShape.least_context), kShape.splits);
    begin_ = static_cast<int>(static_cast<long long>(context) * split_ / splits_);
    end_ = static_cast<int>(static_cast<long long>(context) * (split_ + 1) / splits_);
  }

  /// False where the context is too short for this piece. The first piece always has some.
  __device__ bool HasWork() const { return split_ < splits_; }

  /// Loads what the cache has for the first round and asks for some of the rest; needs nothing of this call.
  __device__ void LoadEarly() {
    constexpr int kAhead = 64;
    const int old = min(end_, past_);
    LoadCached(begin_, old);
    if constexpr (kHasBulkCopies) {
      const int from = begin_ + kRound;
      const int count = min(old - from, kAhead);
      if (threadIdx.x == 0 && count > 0) {
        constexpr int kRowBytes = kShape.head_dim * 4;
        PrefetchBulk(Cached(1, from), count * kRowBytes);
        PrefetchBulk(Cached(2, from), count * kRowBytes);
      }
    }
  }

  /// After LoadEarly().
  __device__ void Attend(void* scratch) {
    if (split_ == 0) {
      StoreNew();
    }
    Accumulate();
    __shared__ float maxima[kGroups];
    __shared__ float totals[kGroups];
    __shared__ float4 sums[kGroups][kQuads];
    Publish(maxima, totals, sums);
    __syncthreads();
    const float max = MaxOf(maxima);
    float total = 0;
    for (int g = 0; g < kGroups; ++g) {
      total += totals[g] * WeightOf(maxima[g], max);
    }
    if (splits_ == 1) {
      ForColumns([&](int column) { y_[column] = SumOfGroups(maxima, max, &sums[0][0].x, column) / total; });
      return;
    }
    // In scratch, for each head and split: the maximum, the total, the sums.
    constexpr int kPart = kShape.head_dim + 2;
    float* parts = reinterpret_cast<float*>(static_cast<char*>(scratch) + kScratchCounterBytes) +
                   static_cast<long long>(head_) * kShape.splits * kPart;
    float* mine = parts + split_ * kPart;
    if (threadIdx.x == 0) {
      mine[0] = max;
      mine[1] = total;
    }
    ForColumns([&](int column) { mine[2 + column] = SumOfGroups(maxima, max, &sums[0][0].x, column); });
    if (IsLastBlock(static_cast<unsigned*>(scratch) + head_, splits_, kShape.threads)) {
      MergeBlocks(parts, kPart);
    }
  }

  /// Puts the token's K and V into the cache.
  __device__ void StoreNew() const {
    const int position = past_ + token_;
#pragma unroll 1
    for (int i = Thread(); i < 2 * kQuads; i += kShape.threads) {
      const int quad = i % kQuads;
      StoreQuad(Cached(1 + i / kQuads, position), 4 * quad, LoadQuad(New(1 + i / kQuads, position), 4 * quad));
    }
  }

 private:
  /// Quad number i of this lane, which may be past the end of a head whose size is no power of two.
  __device__ static int Quad(int i) { return Lane() % kLanes + i * kLanes; }
  __device__ static bool Has(int i) { return kQuads % kLanes == 0 || Quad(i) < kQuads; }

  /// A position's row of K (part 1) or V (part 2) in the cache.
  __device__ float* Cached(int part, int position) const {
    return keys_ + (part == 1 ? 0 : kWidth * kShape.positions) + static_cast<long long>(position) * kShape.head_dim;
  }

  /// A row of Q (part 0), K or V of this call. They come from qkv, as other blocks may not have stored them yet.
  __device__ const float* New(int part, int position) const {
    return new_ + (kOneToken ? part : 3LL * (position - past_) + part) * kWidth;
  }

  /// This thread's position number u of the round that starts at `first`.
  __device__ static int Position(int first, int u) { return first + u * kGroups + Thread() / kLanes; }

  /// The positions of a round that are below `end` and in the cache; zeros for others.
  __device__ void LoadCached(int first, int end) {
    const float* keys = Cached(1, Position(first, 0)) + 4 * Quad(0);
    const float* values = Cached(2, Position(first, 0)) + 4 * Quad(0);
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
#pragma unroll
      for (int i = 0; i < kQuadsOfLane; ++i) {
        const bool loads = Position(first, u) < end && Has(i);
        const int at = u * kGroups * kShape.head_dim + 4 * i * kLanes;
        round_keys_[u][i] = loads ? LoadQuad(keys, at) : float4{0, 0, 0, 0};
        round_values_[u][i] = loads ? LoadQuad(values, at) : float4{0, 0, 0, 0};
      }
    }
  }

  /// Those positions of a round that are of this call.
  __device__ void LoadNew(int first) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int position = Position(first, u);
#pragma unroll
      for (int i = 0; i < kQuadsOfLane; ++i) {
        if (position >= past_ && position < end_ && Has(i)) {
          round_keys_[u][i] = LoadQuad(New(1, position), 4 * Quad(i));
          round_values_[u][i] = LoadQuad(New(2, position), 4 * Quad(i));
        }
      }
    }
  }

  /// All positions of this piece, of which each group of lanes takes some.
  __device__ void Accumulate() {
    float4 query[kQuadsOfLane];
#pragma unroll
    for (int i = 0; i < kQuadsOfLane; ++i) {
      query[i] = Has(i) ? LoadQuad(New(0, past_ + token_), 4 * Quad(i)) : float4{0, 0, 0, 0};
      sums_[i] = {0, 0, 0, 0};
    }
#pragma unroll 1
    for (int first = begin_; first < end_; first += kRound) {
      if (first > begin_) {
        LoadCached(first, min(end_, past_));
      }
      if (first + kRound > past_) {
        LoadNew(first);
      }
      float scores[kUnroll];
      float max = max_;
#pragma unroll
      for (int u = 0; u < kUnroll; ++u) {
        float dot = 0;
#pragma unroll
        for (int i = 0; i < kQuadsOfLane; ++i) {
          const float4& key = round_keys_[u][i];
          dot = fmaf(query[i].x, key.x, fmaf(query[i].y, key.y, dot));
          dot = fmaf(query[i].z, key.z, fmaf(query[i].w, key.w, dot));
        }
        dot = SumLanes<kLanes>(dot);
        scores[u] = Position(first, u) < end_ ? dot * kShape.scale : NegativeInfinity();
        max = fmaxf(max, scores[u]);
      }
      AddValues(scores, max);
    }
  }

  /// Adds the round's values to the sums, whose running maximum becomes `max`.
  __device__ void AddValues(const float (&scores)[kUnroll], float max) {
    const float rescale = Rescale(max_, max);
    max_ = max;
    total_ *= rescale;
#pragma unroll
    for (int i = 0; i < kQuadsOfLane; ++i) {
      sums_[i] = {sums_[i].x * rescale, sums_[i].y * rescale, sums_[i].z * rescale, sums_[i].w * rescale};
    }
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const float weight = WeightOf(scores[u], max);
      total_ += weight;
#pragma unroll
      for (int i = 0; i < kQuadsOfLane; ++i) {
        sums_[i].x = fmaf(weight, round_values_[u][i].x, sums_[i].x);
        sums_[i].y = fmaf(weight, round_values_[u][i].y, sums_[i].y);
        sums_[i].z = fmaf(weight, round_values_[u][i].z, sums_[i].z);
        sums_[i].w = fmaf(weight, round_values_[u][i].w, sums_[i].w);
      }
    }
  }

  /// Puts this group's state into shared memory.
  __device__ void Publish(float* maxima, float* totals, float4 (*sums)[kQuads]) const {
    const int group = Thread() / kLanes;
    if (Lane() % kLanes == 0) {
      maxima[group] = max_;
      totals[group] = total_;
    }
#pragma unroll
    for (int i = 0; i < kQuadsOfLane; ++i) {
      if (Has(i)) {
        sums[group][Quad(i)] = sums_[i];
      }
    }
  }

  template <typename Body>
  __device__ static void ForColumns(Body body) {
    for (int column = Thread(); column < kShape.head_dim; column += kShape.threads) {
      body(column);
    }
  }

  __device__ static float MaxOf(const float* maxima) {
    float max = NegativeInfinity();
    for (int g = 0; g < kGroups; ++g) {
      max = fmaxf(max, maxima[g]);
    }
    return max;
  }

  __device__ static float SumOfGroups(const float* maxima, float max, const float* sums, int column) {
    float sum = 0;
    for (int g = 0; g < kGroups; ++g) {
      sum += sums[g * kShape.head_dim + column] * WeightOf(maxima[g], max);
    }
    return sum;
  }

  /// y from the parts of all blocks; a lane has the weight of each.
  __device__ void MergeBlocks(const float* parts, int part) const {
    const bool has = Lane() < splits_;
    const float mine = has ? LoadCoherent(parts + Lane() * part) : NegativeInfinity();
    const float total = has ? LoadCoherent(parts + Lane() * part + 1) : 0;
    // All lanes of a warp stay in the loop, as each needs the others' weights.
    for (int first = Warp() * 32; first < kShape.head_dim; first += kShape.threads) {
      const int column = first + Lane();
      // All values are on their way before anything is computed.
      float values[kShape.splits];
#pragma unroll
      for (int s = 0; s < kShape.splits; ++s) {
        const bool loads = s < splits_ && column < kShape.head_dim;
        values[s] = loads ? LoadCoherent(parts + s * part + 2 + column) : 0;
      }
      float max = mine;
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2) {
        max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, offset));
      }
      const float weight = WeightOf(mine, max);
      const float sum_of_weights = SumLanes(total * weight);
      float sum = 0;
#pragma unroll
      for (int s = 0; s < kShape.splits; ++s) {
        sum += values[s] * __shfl_sync(kAllLanes, weight, s);
      }
      if (column < kShape.head_dim) {
        y_[column] = sum / sum_of_weights;
      }
    }
  }

  float* keys_;
  const float* new_;
  float* y_;
  int past_;
  int token_;  ///< Of its sequence in this call.
  int head_;   ///< Of all tokens'.
  int split_;
  int splits_;  ///< Blocks that share the context.
  int begin_;
  int end_;
  float max_;
  float total_;
  float4 sums_[kQuadsOfLane];
  float4 round_keys_[kUnroll][kQuadsOfLane];
  float4 round_values_[kUnroll][kQuadsOfLane];
};

/// y f32<tokens, width> of qkv f32<tokens, 3 * width> over cache f32<2, heads, positions, head_dim>, which is updated
/// in place: `new_cache` is the same buffer. `heads` is null: see SparseAttention.cuh.
template <AttentionShape kShape>
__device__ inline void Attention(const void* qkv, void* cache, const void* heads, void* y, void* new_cache,
                                 const Dims* dims, const Grid& grid = Grid(), void* scratch = nullptr) {
  static_cast<void>(heads);
  static_cast<void>(new_cache);
  const int pieces = Tokens<kShape.tokens>(dims) * kShape.heads * kShape.splits;
  for (int piece = grid.block; piece < pieces; piece += grid.blocks) {
    AttentionHead<kShape> head(static_cast<const float*>(qkv), static_cast<float*>(cache), static_cast<float*>(y), dims,
                               piece);
    if (head.HasWork()) {
      head.LoadEarly();
      WaitForEarlier();
      head.Attend(scratch);
      __syncthreads();
    }
  }
  WaitForEarlier();  // where a block had nothing to do
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_ATTENTION_CUH_
