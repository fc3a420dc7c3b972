// Products of rows with the vectors of several sequences: each row is read once for all of them. A block holds a part
// of the vectors in shared memory and takes its rows through it; a warp has a few rows at a time, so that what it reads
// of the vectors serves all of these. Where there are few rows, several warps share them, each with its slice of
// columns.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_BATCHGEMV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_BATCHGEMV_CUH_

#include "Common.cuh"

namespace dejavu {

/// How the work is cut; the compiler chooses it together with the launch's grid.
struct BatchTiling {
  int threads;  ///< Of a block.
  int rows;     ///< In work in a warp at a time: a group.
  int slices;   ///< Warps that share a group.
  int chunk;    ///< Columns of the vectors that shared memory holds.
  int groups;   ///< Of a block, whose sums shared memory holds.
  int shared;   ///< Bytes of dynamic shared memory.
};

__host__ __device__ constexpr int NextPowerOfTwo(int n) { return n <= 1 ? 1 : 2 * NextPowerOfTwo((n + 1) / 2); }

/// The arithmetic of rows of floats, halves or bfloat16s. A warp reads a segment of a row with one load each, and
/// multiplies it in parts of four columns for each lane.
template <DType kType>
struct BatchFloatMath {
  using Load = uint4;
  using Sum = float;
  using Operand = float4;
  using Part = float4;
  static constexpr int kLoad = PerLoad(kType);
  static constexpr int kSegment = 32 * kLoad;
  static constexpr int kElementBytes = Bytes(kType);
  static constexpr int kParts = kLoad / 4;
  /// Of a vector's segment in shared memory.
  static constexpr int kSegmentBytes = 4 * kSegment;

  /// Where a quad of a segment lies: first those that the lanes read first, then those that they read second.
  __device__ static int Place(int quad) { return kParts == 1 ? quad : quad % 2 * 32 + quad / 2; }

  __device__ static Operand Read(const char* segment, int part) {
    return reinterpret_cast<const float4*>(segment)[32 * part + Lane()];
  }

  __device__ static Part Widen4(const Load& load, int part) {
    if constexpr (kType == DType::kF32) {
      return {__uint_as_float(load.x), __uint_as_float(load.y), __uint_as_float(load.z), __uint_as_float(load.w)};
    } else {
      const unsigned low = part == 0 ? load.x : load.z;
      const unsigned high = part == 0 ? load.y : load.w;
      if constexpr (kType == DType::kF16) {
        const float2 first = WidenHalves(low);
        const float2 second = WidenHalves(high);
        return {first.x, first.y, second.x, second.y};
      } else {
        return {__uint_as_float(low << 16), __uint_as_float(low & 0xFFFF0000), __uint_as_float(high << 16),
                __uint_as_float(high & 0xFFFF0000)};
      }
    }
  }

  __device__ static Sum MultiplyAdd(const Part& w, const Operand& x, Sum sum) {
    return fmaf(w.w, x.w, fmaf(w.z, x.z, fmaf(w.y, x.y, fmaf(w.x, x.x, sum))));
  }
};

/// All columns of a row.
template <int kWidth>
struct AllColumns {
  __device__ static int Width() { return kWidth; }
  /// Where in a row column number `column` is.
  __device__ static int Offset(int column) { return column; }
};

template <typename Math, int kVectors, BatchTiling kTiling>
class BatchGemv {
 public:
  using Load = typename Math::Load;
  using Sum = typename Math::Sum;
  static constexpr int kThreads = kTiling.threads;
  static constexpr int kRows = kTiling.rows;
  static constexpr int kSlices = kTiling.slices;
  static constexpr int kTeams = kThreads / 32 / kSlices;
  static constexpr int kPadded = NextPowerOfTwo(kVectors);
  static constexpr int kValues = kRows * kPadded;  ///< Sums of a group.
  static_assert(kValues <= 32 && NextPowerOfTwo(kRows) == kRows, "a lane gets a sum");
  static_assert(kThreads == 32 * kTeams * kSlices && kTiling.chunk % Math::kSegment == 0);

  /// Shared memory for the segment that starts at column `column` of a chunk of vector `vector`.
  __device__ static char* Segment(int column, int vector) {
    return static_cast<char*>(DynamicShared()) + (column / Math::kSegment * kVectors + vector) * Math::kSegmentBytes;
  }

  /// A row's sum for each vector.
  struct SumsOfRow {
    int group;
    int row;
    __device__ auto operator()(int vector) const { return SumOf(group, row, vector); }
  };

  /// Starts to load the first rows; needs no vectors yet. `rows` is a Rows of FloatGemv.cuh.
  template <typename Rows, typename Columns>
  __device__ void Start(const Rows& rows, const Columns& columns) {
    count_ = rows.Count();
    BeginPass(Block());
    FindRows(rows);
    LoadStep(rows, columns, next_);
  }

  /// After Start() with the same rows. `stage(begin, width)` fills the segments of columns [begin, begin + width),
  /// zeros up to the end of the last. `finish(number, sum_of)` gets for each row the sum for vector v as sum_of(v):
  /// once for each row if `kByRow`, else for each row and vector as finish(number, v, sum).
  template <bool kByRow, typename Rows, typename Columns, typename Stage, typename Finish>
  __device__ void Run(const Rows& rows, const Columns& columns, Stage stage, Finish finish) {
    const int groups = CeilDiv(count_, kRows);
    for (int pass = Block(); pass < groups; pass += Blocks() * kTiling.groups) {
      if (pass != Block()) {
        BeginPass(pass);
        FindRows(rows);
        LoadStep(rows, columns, next_);
      }
      for (int begin = 0; begin == 0 || begin < columns.Width(); begin += kTiling.chunk) {
        const int width = min(kTiling.chunk, columns.Width() - begin);
        __syncthreads();
        stage(begin, width);
        __syncthreads();
        MultiplyChunk(rows, columns, begin);
      }
      __syncthreads();
      if constexpr (kByRow) {
        for (int i = Thread(); i < groups_ * kRows; i += kThreads) {
          const int number = (pass_ + i / kRows * Blocks()) * kRows + i % kRows;
          if (number < count_) {
            finish(number, SumsOfRow{i / kRows, i % kRows});
          }
        }
      } else {
        for (int i = Thread(); i < groups_ * kRows * kVectors; i += kThreads) {
          const int vector = i / (groups_ * kRows);
          const int row = i % (groups_ * kRows);
          const int number = (pass_ + row / kRows * Blocks()) * kRows + row % kRows;
          if (number < count_) {
            finish(number, vector, SumOf(row / kRows, row % kRows, vector));
          }
        }
      }
    }
  }

 private:
  /// A warp's work on one segment of a group.
  struct Step {
    int begin;    ///< Of the chunk.
    int group;    ///< Of the block's in this pass.
    int segment;  ///< Column of the chunk.
  };

  __device__ static int Slice() { return Warp() % kSlices; }
  __device__ static int Team() { return Warp() / kSlices; }
  __device__ static int FirstSegment() { return Slice() * Math::kSegment; }

  __device__ void BeginPass(int pass) {
    pass_ = pass;
    const int groups = CeilDiv(count_, kRows);
    groups_ = pass < groups ? min(CeilDiv(groups - pass, Blocks()), kTiling.groups) : 0;
    next_ = {0, Team(), FirstSegment()};
  }

  /// The rows of the next step's group.
  template <typename Rows>
  __device__ void FindRows(const Rows& rows) {
    if (next_.group < groups_) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        // Past the last row that row again; its sum is not used.
        starts_[r] = rows(min((pass_ + next_.group * Blocks()) * kRows + r, count_ - 1));
      }
    }
  }

  template <typename Rows, typename Columns>
  __device__ void LoadStep(const Rows&, const Columns& columns, const Step& step) {
    const int in_chunk = step.segment + Lane() * Math::kLoad;
    const int column = step.begin + in_chunk;
    const bool loads = step.group < groups_ && in_chunk < kTiling.chunk && column < columns.Width();
    const long long offset = loads ? static_cast<long long>(columns.Offset(column)) * Math::kElementBytes : 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      loaded_[r] = Load{};
      if (loads) {
        LoadWeights(starts_[r] + offset, loaded_[r]);
      }
    }
  }

  /// Moves `next_` on by one step; whether it comes to another group.
  template <typename Columns>
  __device__ bool Advance(const Columns& columns) {
    const int width = min(kTiling.chunk, columns.Width() - next_.begin);
    next_.segment += kSlices * Math::kSegment;
    if (next_.segment < width) {
      return false;
    }
    next_.segment = FirstSegment();
    next_.group += kTeams;
    if (next_.group >= groups_) {
      next_.group = Team();
      next_.begin += kTiling.chunk;
      if (next_.begin >= columns.Width()) {
        next_.group = groups_;  // this pass has no more
      }
    }
    return true;
  }

  template <typename Rows, typename Columns>
  __device__ void MultiplyChunk(const Rows& rows, const Columns& columns, int begin) {
    const int width = min(kTiling.chunk, columns.Width() - begin);
    Sum sums[kRows][kVectors] = {};
#pragma unroll 1
    while (next_.group < groups_ && next_.begin == begin) {
      const Step step = next_;
      Load current[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        current[r] = loaded_[r];
      }
      const bool ends = Advance(columns);
      if (ends) {
        FindRows(rows);
      }
      LoadStep(rows, columns, next_);
      if (step.segment < width) {
        Multiply(Segment(step.segment, 0), current, sums);
      }
      if (ends) {
        Keep(step, sums);
      }
    }
  }

  __device__ static void Multiply(const char* segment, const Load (&loaded)[kRows], Sum (&sums)[kRows][kVectors]) {
#pragma unroll
    for (int part = 0; part < Math::kParts; ++part) {
      typename Math::Operand x[kVectors];
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        x[v] = Math::Read(segment + v * Math::kSegmentBytes, part);
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const typename Math::Part w = Math::Widen4(loaded[r], part);
#pragma unroll
        for (int v = 0; v < kVectors; ++v) {
          sums[r][v] = Math::MultiplyAdd(w, x[v], sums[r][v]);
        }
      }
    }
  }

  /// Adds a group's sums up across the lanes, into shared memory, and begins anew. Half of the sums that a lane has
  /// left go to the lane beside it, so each is moved once or twice.
  __device__ void Keep(const Step& step, Sum (&sums)[kRows][kVectors]) {
    Sum values[kValues];
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      values[i] = i % kPadded < kVectors ? sums[i / kPadded][i % kPadded < kVectors ? i % kPadded : 0] : Sum{};
    }
    int left = kValues;
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      if (left == 1) {
        values[0] += __shfl_xor_sync(kAllLanes, values[0], offset);
        continue;
      }
      left /= 2;
      const bool upper = (Lane() & offset) != 0;
#pragma unroll
      for (int i = 0; i < kValues / 2; ++i) {
        if (i < left) {
          const Sum sent = upper ? values[i] : values[i + left];
          const Sum kept = upper ? values[i + left] : values[i];
          values[i] = kept + __shfl_xor_sync(kAllLanes, sent, offset);
        }
      }
    }
    constexpr int kLanesOfValue = 32 / kValues;
    if (Lane() % kLanesOfValue == 0) {
      Sum& kept = Kept(Slice(), step.group, Lane() / kLanesOfValue);
      kept = step.begin == 0 ? values[0] : kept + values[0];
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = Sum{};
      }
    }
  }

  /// Behind the vectors: the sums of each slice.
  __device__ static Sum& Kept(int slice, int group, int value) {
    auto* kept = reinterpret_cast<Sum*>(Segment(kTiling.chunk, 0));
    return kept[(slice * kTiling.groups + group) * kValues + value];
  }

  __device__ static Sum SumOf(int group, int row, int vector) {
    Sum sum{};
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) {
      sum += Kept(slice, group, row * kPadded + vector);
    }
    return sum;
  }

  int count_;
  int pass_;
  int groups_;  ///< Of this block, in this pass.
  Step next_;   ///< Whose rows are loaded, or on their way.
  const char* starts_[kRows];
  Load loaded_[kRows];
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_BATCHGEMV_CUH_
