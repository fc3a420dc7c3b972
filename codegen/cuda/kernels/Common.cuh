// What all kernels share: a call's dimensions, element types, sums across a warp and a block.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_COMMON_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_COMMON_CUH_

#include "Intrinsics.cuh"

namespace dejavu {

/// The last argument of every kernel, in device memory.
struct Dims {
  long long tokens;  ///< Of this call.
  long long past;    ///< In the cache; of a batch that of the first sequence, and those of the others follow.
};

/// Of stored weights.
enum class DType { kF32, kF16, kBF16 };

constexpr unsigned kAllLanes = 0xFFFFFFFF;
/// In an index list the count comes first, and the numbers start at this entry.
constexpr int kIndexEntries = 16;
/// Scratch memory starts with this many bytes of counters, which are zero before and after every launch.
constexpr int kScratchCounterBytes = 16384;

__device__ inline int Lane() { return static_cast<int>(threadIdx.x % 32); }
__device__ inline int Warp() { return static_cast<int>(threadIdx.x / 32); }
__device__ inline int Thread() { return static_cast<int>(threadIdx.x); }
__device__ inline int Block() { return static_cast<int>(blockIdx.x); }
__device__ inline int Blocks() { return static_cast<int>(gridDim.x); }

/// The blocks that share a kernel's work: all of the launch, or those of one of the kernels that run in it together.
struct Grid {
  int block = Block();    ///< This one, from 0.
  int blocks = Blocks();  ///< How many there are.
};

__host__ __device__ constexpr int CeilDiv(int a, int b) { return (a + b - 1) / b; }

/// The number of tokens: part of the code where a shape states it, of the call where it says 0.
template <int kTokens>
__device__ inline int Tokens(const Dims* dims) {
  return kTokens > 0 ? kTokens : static_cast<int>(dims->tokens);
}

/// The number of tokens in the cache of one sequence of a batch.
__device__ inline long long PastOf(const Dims* dims, int sequence) { return (&dims->past)[sequence]; }

/// The calling thread's elements of `count` that all threads of the grid share: for (i = begin; i < count; i += step).
struct GridShare {
  long long begin;
  long long step;
};
__device__ inline GridShare ShareOfGrid() {
  return {static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x,
          static_cast<long long>(gridDim.x) * blockDim.x};
}

__host__ __device__ constexpr int Bytes(DType dtype) { return dtype == DType::kF32 ? 4 : 2; }

/// How many elements one load of 16 bytes has.
__host__ __device__ constexpr int PerLoad(DType dtype) { return 16 / Bytes(dtype); }

/// The elements of one load of 16 bytes, in float.
template <DType kType>
__device__ inline void Widen(const uint4& bits, float (&values)[PerLoad(kType)]) {
  const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (kType == DType::kF32) {
      values[i] = __uint_as_float(words[i]);
    } else if constexpr (kType == DType::kF16) {
      const float2 pair = WidenHalves(words[i]);
      values[2 * i] = pair.x;
      values[2 * i + 1] = pair.y;
    } else {
      values[2 * i] = __uint_as_float(words[i] << 16);
      values[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000);
    }
  }
}

/// Reads, converts and writes 16 bytes' worth of weights and their floats in one go.
template <DType kType>
__device__ inline void LoadFloats(const void* weights, long long index, float (&values)[PerLoad(kType)]) {
  uint4 bits;
  LoadWeights(static_cast<const char*>(weights) + index * Bytes(kType), bits);
  Widen<kType>(bits, values);
}

/// Four floats of an activation, whose index is a multiple of four.
__device__ inline float4 LoadQuad(const void* floats, long long index) {
  return LoadCoherent(reinterpret_cast<const float4*>(static_cast<const float*>(floats) + index));
}
__device__ inline void StoreQuad(void* floats, long long index, const float4& value) {
  *reinterpret_cast<float4*>(static_cast<float*>(floats) + index) = value;
}

/// x where it is positive or NaN, else 0.
__device__ inline float Relu(float x) { return x <= 0 ? 0 : x; }

/// The sum over the lanes of aligned groups of kWidth, in each of them; equal bits in all.
template <int kWidth = 32, typename T>
__device__ inline T SumLanes(T value) {
#pragma unroll
  for (int offset = kWidth / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, offset);
  }
  return value;
}

/// combine() over the values of the first kThreads threads of the block, in each of them; combine(a, b) is combine(b,
/// a). `shared` has room for a value of each warp; whoever uses it next synchronises first.
template <int kThreads, typename T, typename Combine>
__device__ inline T ReduceBlock(T value, T* shared, Combine combine) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, offset));
  }
  if (Lane() == 0) {
    shared[Warp()] = value;
  }
  SyncFirst(kThreads);
  value = shared[0];
#pragma unroll
  for (int warp = 1; warp < kThreads / 32; ++warp) {
    value = combine(value, shared[warp]);
  }
  return value;
}

template <int kThreads>
__device__ inline float SumBlock(float value, float* shared) {
  return ReduceBlock<kThreads>(value, shared, [](float a, float b) { return a + b; });
}

/// A slot of a ring in shared memory, and the parity of the ring's round.
template <int kSlots>
struct RingPlace {
  int slot = 0;
  unsigned parity = 0;

  __device__ void Advance() {
    if (++slot == kSlots) {
      slot = 0;
      parity ^= 1;
    }
  }
};

/// By the first `threads` threads of the block: adds one to `counter` after everything that they wrote to device
/// memory. True in the last of `blocks` blocks, which then sees what the others wrote, and finds the counter at zero
/// again.
__device__ inline bool IsLastBlock(unsigned* counter, unsigned blocks, int threads) {
  __shared__ bool is_last;
  SyncFirst(threads);
  if (threadIdx.x == 0) {
    __threadfence();
    is_last = atomicAdd(counter, 1U) == blocks - 1;
    if (is_last) {
      *counter = 0;
      __threadfence();
    }
  }
  SyncFirst(threads);
  return is_last;
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_COMMON_CUH_
