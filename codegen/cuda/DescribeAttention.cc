// Attention: by tiles for prompts, by pieces of the context for a token.
#include <algorithm>
#include <utility>
#include <vector>

#include "codegen/cuda/Describe.h"
#include "codegen/target/KernelShapes.h"

namespace dejavu::describe {
namespace {

// The widest head whose tiles of K and V fit shared memory, also that of devices of sm_86.
constexpr int64_t kMaxTiledHeadDim = 128;

/// For a number of tokens that the call says.
CudaKernel PrefillAttention(const AttentionShape& s) {
  constexpr int64_t kQueries = 32;
  constexpr int64_t kKeys = 64;
  LaunchGrid grid{.blocks = kMaxBlocksOfRows, .per_sm = 2, .threads = 256, .early = true};
  // Queries and K with four floats between rows, V, scores with as many, and one number for each query.
  grid.shared = 4 * ((kQueries + kKeys) * (s.head_dim + 4) + kKeys * s.head_dim + kQueries * (kKeys + 4) + kQueries);
  return {"PrefillAttention.cuh",
          "PrefillAttention",
          {"qkv", "cache", "heads", "y", "new_cache"},
          ShapeText("PrefillAttentionShape")
              .Int("heads", s.heads)
              .Int("head_dim", s.head_dim)
              .Int("positions", s.positions)
              .Float("scale", s.scale)
              .Int("threads", grid.threads)
              .Int("queries", kQueries)
              .Int("keys", kKeys),
          grid};
}

}  // namespace

CudaKernel Attention(const KernelSpec& spec, std::string_view /*isa*/) {
  constexpr int64_t kLeastContext = 16;  // positions that are worth a block: more would come one after the other
  constexpr int64_t kMaxSplits = 32;
  const AttentionShape s = MatchAttention(spec).value();
  const int64_t tokens = TokensOf(s.tokens);
  if (tokens == 0 && !s.listed && s.head_dim <= kMaxTiledHeadDim) {
    return PrefillAttention(s);
  }
  int64_t splits = 1;
  if ((tokens == 1 || s.batch) && tokens * s.heads * 4 <= kScratchCounterBytes) {
    // Where only some heads are listed, more pieces of each keep as many blocks busy.
    const int64_t pieces = s.listed ? 2 * kManyBlocks : kManyBlocks;
    splits = std::min(CeilDiv(s.positions, kLeastContext), std::max<int64_t>(1, pieces / (tokens * s.heads)));
    splits = std::min(splits, kMaxSplits);
  }
  // Small blocks, which have room beside that of a ring. Wide heads need more registers.
  LaunchGrid grid{.per_sm = s.head_dim <= 128 ? 6 : s.head_dim <= 256 ? 4 : 2, .threads = 128, .early = true};
  grid.blocks = tokens > 0 ? tokens * s.heads * splits : kMaxBlocksOfRows;
  if (s.listed) {
    grid.blocks = std::min(grid.blocks, std::max(tokens * s.heads, kManyBlocks));
  }
  grid.scratch = splits > 1 ? kScratchCounterBytes + tokens * s.heads * splits * (s.head_dim + 2) * 4 : 0;
  std::vector<std::string_view> args = {"qkv", "cache", "heads", "y", "new_cache"};
  if (s.lazy) {
    args = {"qkv", "cache", "heads", "filled", "y", "new_cache", "new_filled"};
  }
  return {s.listed ? "SparseAttention.cuh" : "Attention.cuh",
          s.lazy     ? "LazyAttention"
          : s.listed ? "SparseAttention"
                     : "Attention",
          std::move(args),
          ShapeText("AttentionShape")
              .Int("tokens", tokens)
              .Int("heads", s.heads)
              .Int("head_dim", s.head_dim)
              .Int("positions", s.positions)
              .Float("scale", s.scale)
              .Int("threads", grid.threads)
              .Bool("batch", s.batch)
              .Int("splits", splits)
              .Int("least_context", kLeastContext)
              .Bool("early_list", s.early_list),
          grid};
}

}  // namespace dejavu::describe
