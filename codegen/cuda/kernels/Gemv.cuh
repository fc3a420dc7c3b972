// Dot products of matrix rows with one vector that lies in shared memory: the inner part of linear and
// of the kernels for predictors and lists. A warp takes a few rows at a time and has several loads of each in flight.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_GEMV_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_GEMV_CUH_

#include "Common.cuh"

namespace dejavu {

/// How the work is cut; the compiler chooses it together with the launch's grid.
struct GemvTiling {
  int threads;  ///< Of a block, that multiply.
  int rows;     ///< In work in a warp at a time.
  int unroll;   ///< Loads in flight for each of them.
  int chunk;    ///< Columns of the vector that shared memory holds.
  int slots;    ///< Of the ring through which rows come (RingGemv.cuh); 0 where each thread loads for itself.
  int shared;   ///< Bytes of dynamic shared memory.
};

/// The arithmetic of a Gemv over rows of floats, halves or bfloat16s. A warp reads a segment of a row with one load
/// each.
template <DType kType>
struct FloatMath {
  using Load = uint4;
  using Sum = float;
  static constexpr int kLoad = PerLoad(kType);
  static constexpr int kSegment = 32 * kLoad;
  static constexpr int kSums = 2;
  struct Operand {
    float values[kLoad];
  };

  __device__ static Operand OperandOf(const float (&values)[kLoad]) {
    Operand x;
#pragma unroll
    for (int i = 0; i < kLoad; ++i) {
      x.values[i] = values[i];
    }
    return x;
  }

  /// Shared memory holds the floats by quads: first those that the lanes read first, then those that they read second,
  /// so that lanes side by side always read quads side by side.
  __device__ static unsigned Place(unsigned quad) {
    return kLoad == 4 ? quad : quad / 64 * 64 + quad % 2 * 32 + quad / 2 % 32;
  }

  /// Puts columns [begin, begin + count) of an Input into shared memory, and zeros up to the end of the segment.
  template <int kThreads, typename X>
  __device__ static void Stage(const X& x, int begin, int count) {
    auto* staged = static_cast<float4*>(DynamicShared());
    const int quads = CeilDiv(count, kSegment) * (kSegment / 4);
#pragma unroll 2
    for (int quad = Thread(); quad < quads; quad += kThreads) {
      staged[Place(quad)] = 4 * quad < count ? x.Quad(begin + 4 * quad) : float4{0, 0, 0, 0};
    }
  }

  __device__ static Operand Read(int segment) {
    const auto* staged = static_cast<const float4*>(DynamicShared()) + segment * (kSegment / 4) + Lane();
    Operand x;
#pragma unroll
    for (int part = 0; part < kLoad / 4; ++part) {
      const float4 quad = staged[32 * part];
      x.values[4 * part] = quad.x;
      x.values[4 * part + 1] = quad.y;
      x.values[4 * part + 2] = quad.z;
      x.values[4 * part + 3] = quad.w;
    }
    return x;
  }

  __device__ static Sum MultiplyAdd(const Load& w, const Operand& x, Sum sum) {
    float values[kLoad];
    Widen<kType>(w, values);
#pragma unroll
    for (int i = 0; i < kLoad; ++i) {
      sum = fmaf(values[i], x.values[i], sum);
    }
    return sum;
  }
};

/// One warp's part of y[i] = row(i) . x for all rows of a grid. The order of each sum depends on the tiling alone.
template <typename Math, int kWidth, GemvTiling kTiling>
class Gemv {
 public:
  using Load = typename Math::Load;
  using Sum = typename Math::Sum;
  static constexpr int kRows = kTiling.rows;
  static constexpr int kUnroll = kTiling.unroll;
  static constexpr int kSums = kUnroll < Math::kSums ? kUnroll : Math::kSums;  ///< Independent sums of each row.
  static constexpr int kWarps = kTiling.threads / 32;
  static constexpr int kStep = Math::kSegment * kUnroll;
  static constexpr int kSteps = CeilDiv(kWidth, kStep);
  static constexpr int kChunks = CeilDiv(kWidth, kTiling.chunk);
  static constexpr int kStepsOfChunk = kTiling.chunk / kStep;
  static_assert(kTiling.threads % 32 == 0 && kRows <= 32);
  static_assert(kWidth % Math::kLoad == 0, "a load would reach into the next row");
  static_assert(kChunks == 1 || kTiling.chunk % kStep == 0, "a step would straddle two chunks");

  __device__ explicit Gemv(const Grid& grid = Grid()) : grid_(grid) {}

  /// Starts to load the first rows: `row_at(i)` is the address of row i < rows. Needs no x yet.
  template <typename RowAt>
  __device__ void Start(int rows, RowAt row_at) {
    rows_ = RowsOf(FirstGroup(), rows, row_at);
    LoadStep(0);
  }

  /// After Start() with the same rows. `stage(begin, count)` brings that part of x to shared memory and synchronises
  /// the block. For each row i, one lane calls early = prepare(i) before its sum is known and finish(i, sum, early)
  /// then.
  template <typename RowAt, typename Stage, typename Prepare, typename Finish>
  __device__ void Run(int rows, RowAt row_at, Stage stage, Prepare prepare, Finish finish) {
    const int groups = CeilDiv(rows, kRows);
    const int stride = grid_.blocks * kWarps;
    int group = FirstGroup();
    if (kChunks == 1 && grid_.block < groups) {
      stage(0, kWidth);
    }
    // All warps of a block make the same rounds: they meet in stage().
    for (int first = grid_.block; first < groups; first += stride) {
      const int row = group * kRows + Lane();
      const bool finishes = Lane() < kRows && row < rows;
      const RowGroup next = RowsOf(group + stride, rows, row_at);
      decltype(prepare(row)) early{};
      if (finishes) {
        early = prepare(row);
      }
      Sum sums[kRows][kSums] = {};
      group += stride;
#pragma unroll 1
      for (int step = 0; step < kSteps; ++step) {
        StageChunk(step, stage);
        Multiply(step, sums);
        if (step + 1 == kSteps) {
          rows_ = next;
        }
        LoadStep(step + 1 == kSteps ? 0 : step + 1);
      }
      const Sum sum = SumOfThisLane(sums);
      if (finishes) {
        finish(row, sum, early);
      }
    }
  }

 private:
  /// Rows side by side go to different blocks: a short list keeps all of the device busy.
  [[nodiscard]] __device__ int FirstGroup() const { return Warp() * grid_.blocks + grid_.block; }

  struct RowGroup {
    const char* starts[kRows];  ///< This lane's first load.
    int end;                    ///< kWidth, or 0 where a warp has no rows left.
  };

  template <typename RowAt>
  __device__ static RowGroup RowsOf(int group, int rows, RowAt row_at) {
    RowGroup result;
    result.end = group * kRows < rows ? kWidth : 0;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      // Past the last row that row again; its sum is not used.
      result.starts[r] = nullptr;
      if (result.end > 0) {
        const char* start = static_cast<const char*>(row_at(min(group * kRows + r, rows - 1)));
        result.starts[r] = start + Lane() * sizeof(Load);
      }
    }
    return result;
  }

  __device__ void LoadStep(int step) {
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      const int column = step * kStep + u * Math::kSegment;
      const bool loads = kWidth % kStep == 0 ? rows_.end > 0 : column + Lane() * Math::kLoad < rows_.end;
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        loaded_[r][u] = Load{};
        if (loads) {
          LoadWeights(rows_.starts[r] + column / Math::kLoad * sizeof(Load), loaded_[r][u]);
        }
      }
    }
  }

  template <typename Stage>
  __device__ static void StageChunk(int step, Stage stage) {
    if constexpr (kChunks > 1) {
      if (step % kStepsOfChunk == 0) {
        const int begin = step * kStep;
        stage(begin, min(kTiling.chunk, kWidth - begin));
      }
    }
  }

  __device__ void Multiply(int step, Sum (&sums)[kRows][kSums]) const {
    const int first = (kChunks == 1 ? step : step % kStepsOfChunk) * kUnroll;
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) {
      if (kWidth % kStep != 0 && (step * kUnroll + u) * Math::kSegment >= kWidth) {
        break;
      }
      const typename Math::Operand x = Math::Read(first + u);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        Sum& sum = sums[r][u % kSums];
        sum = Math::MultiplyAdd(loaded_[r][u], x, sum);
      }
    }
  }

  /// Lane r gets the sum of row r.
  __device__ static Sum SumOfThisLane(const Sum (&sums)[kRows][kSums]) {
    Sum mine{};
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      Sum sum = sums[r][0];
#pragma unroll
      for (int u = 1; u < kSums; ++u) {
        sum += sums[r][u];
      }
      sum = SumLanes(sum);
      mine = Lane() == r ? sum : mine;
    }
    return mine;
  }

  Grid grid_;
  RowGroup rows_;
  Load loaded_[kRows][kUnroll];
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_GEMV_CUH_
