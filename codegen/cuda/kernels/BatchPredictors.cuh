// certified_test and quantized_linear for a token of each of several sequences: rows of int8 times vectors that are
// rounded as for one.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_BATCHPREDICTORS_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_BATCHPREDICTORS_CUH_

#include "BatchGemv.cuh"
#include "QuantizedLinear.cuh"

namespace dejavu {

/// Rows of 16 n bytes are read by 16 bytes, others by 8, and multiplied eight columns at a time.
template <int kWidth>
struct BatchInt8Math {
  using Load = typename Int8Math<kWidth>::Load;
  using Sum = unsigned;
  static constexpr int kLoad = Int8Math<kWidth>::kLoad;
  static constexpr int kSegment = 32 * kLoad;
  static constexpr int kElementBytes = 1;
  static constexpr int kParts = kLoad / 8;
  /// High bytes, then low bytes.
  static constexpr int kSegmentBytes = 2 * kSegment;
  using Part = uint2;
  struct Operand {
    uint2 high;
    uint2 low;
  };

  __device__ static Operand Read(const char* segment, int part) {
    const int at = Lane() * kParts + part;
    return {reinterpret_cast<const uint2*>(segment)[at], reinterpret_cast<const uint2*>(segment + kSegment)[at]};
  }

  __device__ static Part Widen4(const Load& load, int part) {
    if constexpr (kParts == 1) {
      return load;
    } else {
      return part == 0 ? uint2{load.x, load.y} : uint2{load.z, load.w};
    }
  }

  __device__ static Sum MultiplyAdd(const Part& q, const Operand& n, Sum sum) {
    const unsigned high = DotSigned(q.y, n.high.y, DotSigned(q.x, n.high.x, 0));
    return DotUnsigned(q.y, n.low.y, DotUnsigned(q.x, n.low.x, sum + 256 * high));
  }
};

/// The vectors' roundings, and their columns in shared memory as they are needed.
template <typename Gemv, int kVectors, int kWidth>
class BatchQuantizer {
 public:
  using Math = BatchInt8Math<kWidth>;
  static constexpr int kThreads = Gemv::kThreads;

  /// By the whole block, before anything else is in shared memory.
  __device__ explicit BatchQuantizer(const float* x) : x_(x) {
    __shared__ unsigned largest_of_vectors[kVectors];
    __shared__ unsigned largest_of_warps[kVectors][kThreads / 32];
#pragma unroll 1
    for (int v = 0; v < kVectors; ++v) {
      unsigned largest = 0;
#pragma unroll 2
      for (int quad = Thread(); quad < kWidth / 4; quad += kThreads) {
        const float4 value = Quad(v, 4 * quad);
        largest = Larger(Larger(largest, MagnitudeBits(value.x)), MagnitudeBits(value.y));
        largest = Larger(Larger(largest, MagnitudeBits(value.z)), MagnitudeBits(value.w));
      }
      largest = ReduceBlock<kThreads>(largest, largest_of_warps[v], &Larger);
      if (threadIdx.x == 0) {
        largest_of_vectors[v] = largest;
      }
    }
    __syncthreads();
    largest_ = largest_of_vectors;
  }

  [[nodiscard]] __device__ Quantizer<kWidth> Of(int vector) const { return Quantizer<kWidth>(largest_[vector]); }

  /// What certified_test needs of a vector; by the whole block.
  __device__ CertifiedInput Certify(int vector) const {
    __shared__ float sums[2][kThreads / 32];
    Quantizer<kWidth> quantizer = Of(vector);
#pragma unroll 1
    for (int quad = Thread(); quad < kWidth / 4; quad += kThreads) {
      unsigned high = 0;
      unsigned low = 0;
      AddQuad(quantizer, Quad(vector, 4 * quad), high, low);
    }
    __syncthreads();  // the last call's sums were read
    return quantizer.template Finish<kThreads>(sums[0], sums[1]);
  }

  __device__ void Stage(int begin, int width) const {
    constexpr int kQuads = Math::kSegment / 4;
    const int quads = CeilDiv(width, Math::kSegment) * kQuads;
#pragma unroll 1
    for (int v = 0; v < kVectors; ++v) {
      Quantizer<kWidth> quantizer = Of(v);
#pragma unroll 2
      for (int quad = Thread(); quad < quads; quad += kThreads) {
        unsigned high = 0;
        unsigned low = 0;
        if (4 * quad < width) {
          AddQuad(quantizer, Quad(v, begin + 4 * quad), high, low);
        }
        auto* segment = reinterpret_cast<unsigned*>(Gemv::Segment(4 * quad, v));
        segment[quad % kQuads] = high;
        segment[kQuads + quad % kQuads] = low;
      }
    }
  }

 private:
  __device__ float4 Quad(int vector, int column) const {
    return LoadQuad(x_ + static_cast<long long>(vector) * kWidth, column);
  }

  __device__ static void AddQuad(Quantizer<kWidth>& quantizer, const float4& value, unsigned& high, unsigned& low) {
    quantizer.Add(value.x, 0, high, low);
    quantizer.Add(value.y, 1, high, low);
    quantizer.Add(value.z, 2, high, low);
    quantizer.Add(value.w, 3, high, low);
  }

  const float* x_;
  const unsigned* largest_;  ///< In shared memory: of each vector.
};

struct BatchTestShape {
  int vectors;
  int n;
  int k;
  BatchTiling tiling;
};

/// flags u8<n> from x f32<vectors, k>: of the neurons that may be positive for some vector.
template <BatchTestShape kShape>
__device__ inline void BatchTest(const void* x, const void* q8, const void* rows, void* flags, const Dims*) {
  using Gemv = BatchGemv<BatchInt8Math<kShape.k>, kShape.vectors, kShape.tiling>;
  __shared__ CertifiedInput inputs[kShape.vectors];
  const MatrixRows<kShape.k> row_at = {q8, kShape.n};
  const AllColumns<kShape.k> columns;
  Gemv gemv;
  gemv.Start(row_at, columns);
  WaitForEarlier();
  const BatchQuantizer<Gemv, kShape.vectors, kShape.k> quantizer(static_cast<const float*>(x));
#pragma unroll 1
  for (int v = 0; v < kShape.vectors; ++v) {
    const CertifiedInput input = quantizer.Certify(v);
    if (threadIdx.x == 0) {
      inputs[v] = input;
    }
  }
  const auto stage = [&](int begin, int width) { quantizer.Stage(begin, width); };
  const auto finish = [&](int row, const typename Gemv::SumsOfRow& sum_of) {
    const float4 of_row = LoadQuad(rows, 4LL * row);
    bool maybe = false;
#pragma unroll 1
    for (int v = 0; v < kShape.vectors; ++v) {
      maybe = maybe || MaybePositive<kShape.k>(inputs[v], of_row, static_cast<int>(sum_of(v)));
    }
    static_cast<unsigned char*>(flags)[row] = maybe ? 1 : 0;
  };
  gemv.template Run<true>(row_at, columns, stage, finish);
}

struct BatchQuantizedShape {
  int vectors;
  int n;
  int k;
  bool bias;
  BatchTiling tiling;
};

/// y f32<vectors, n>, each row as QuantizedLinear gives it.
template <BatchQuantizedShape kShape>
__device__ inline void BatchQuantized(const void* x, const void* q8, const void* scales, const void* bias, const void*,
                                      const void*, void* y, const Dims*) {
  using Gemv = BatchGemv<BatchInt8Math<kShape.k>, kShape.vectors, kShape.tiling>;
  __shared__ Rounding roundings[kShape.vectors];
  const MatrixRows<kShape.k> row_at = {q8, kShape.n};
  const AllColumns<kShape.k> columns;
  Gemv gemv;
  gemv.Start(row_at, columns);
  WaitForEarlier();
  const BatchQuantizer<Gemv, kShape.vectors, kShape.k> quantizer(static_cast<const float*>(x));
  if (threadIdx.x == 0) {
#pragma unroll
    for (int v = 0; v < kShape.vectors; ++v) {
      roundings[v] = Rounding::Of(quantizer.Of(v));
    }
  }
  const auto stage = [&](int begin, int width) { quantizer.Stage(begin, width); };
  const auto finish = [&](int row, int vector, unsigned dot) {
    const Rounding& rounding = roundings[vector];
    const float scale = __fmul_rn(static_cast<const float*>(scales)[row], rounding.step);
    const float scaled = __fmul_rn(__fmul_rn(scale, static_cast<float>(static_cast<int>(dot))), rounding.up);
    static_cast<float*>(y)[static_cast<long long>(vector) * kShape.n + row] =
        kShape.bias ? __fadd_rn(scaled, static_cast<const float*>(bias)[row]) : scaled;
  };
  gemv.template Run<false>(row_at, columns, stage, finish);
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_BATCHPREDICTORS_CUH_
