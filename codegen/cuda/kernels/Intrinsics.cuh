// Everything that only the hardware can say: PTX instructions behind plain functions. No header of the toolkit is used,
// so that NVRTC alone can compile the kernels.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_INTRINSICS_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_INTRINSICS_CUH_

namespace dejavu {

/// Lets the launch after this one start as soon as all blocks of this one have called it or ended, and there is room.
/// The first call of a block counts.
__device__ inline void LetNextStart() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/// Waits until the launches ahead of this one have ended and what they wrote can be seen. Before it a thread touches
/// only what no launch of a token writes: weights, Dims, and what the cache has of earlier calls. Some thread of every
/// launch calls it, so a launch ends only after all that came before. Then the next one may start, if it hasn't: what
/// starts now finds room only where blocks end, or beside them.
__device__ inline void WaitForEarlier() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  LetNextStart();
}

/// Weights never change and are read once: no place in the first-level cache, and loads may move ahead of a wait.
__device__ inline void LoadWeights(const void* address, uint4& value) {
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
      : "l"(address));
}

__device__ inline void LoadWeights(const void* address, uint2& value) {
  asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(value.x), "=r"(value.y) : "l"(address));
}

/// Asks for a line of weights to be brought to the second-level cache.
__device__ inline void PrefetchLine(const void* address) { asm volatile("prefetch.global.L2 [%0];" ::"l"(address)); }

/// What another block or an earlier launch wrote: from the second-level cache, which all blocks share. The first-level
/// one may hold what was there before, as launches overlap.
__device__ inline float LoadCoherent(const float* address) {
  float value;
  asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(value) : "l"(address) : "memory");
  return value;
}

__device__ inline int LoadCoherent(const int* address) {
  int value;
  asm volatile("ld.global.cg.s32 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
  return value;
}

__device__ inline unsigned LoadCoherent(const unsigned char* address) {
  unsigned value;
  asm volatile("ld.global.cg.u8 %0, [%1];" : "=r"(value) : "l"(address) : "memory");
  return value;
}

__device__ inline float4 LoadCoherent(const float4* address) {
  float4 value;
  asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "l"(address)
               : "memory");
  return value;
}

/// The two halves in a word.
__device__ inline float2 WidenHalves(unsigned halves) {
  float2 value;
  asm("{\n"
      ".reg .b16 low, high;\n"
      "mov.b32 {low, high}, %2;\n"
      "cvt.f32.f16 %0, low;\n"
      "cvt.f32.f16 %1, high;\n"
      "}"
      : "=f"(value.x), "=f"(value.y)
      : "r"(halves));
  return value;
}

/// The bits of the nearest half.
__device__ inline unsigned short NarrowToHalf(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

/// The bits of the nearest bfloat16.
__device__ inline unsigned short NarrowToBFloat16(float value) {
  unsigned short bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

/// 2^x to 2 units in the last place.
__device__ inline float Exp2(float x) {
  float value;
  asm("ex2.approx.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
}

/// sum + the products of the four signed bytes of a with the signed or unsigned bytes of b, modulo 2^32.
__device__ inline unsigned DotSigned(unsigned a, unsigned b, unsigned sum) {
  asm("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

__device__ inline unsigned DotUnsigned(unsigned a, unsigned b, unsigned sum) {
  asm("dp4a.s32.u32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

/// The same with unsigned bytes of a and signed ones of b.
__device__ inline unsigned DotMixed(unsigned a, unsigned b, unsigned sum) {
  asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

/// Starts to copy 16 bytes to shared memory, or zeros where `copies` is false; the address must be one anyway. The
/// copies that a thread started since its last CommitCopies() make a group.
__device__ inline void CopyAsync(void* shared, const void* from, bool copies) {
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(copies ? 16 : 0) : "memory");
}

__device__ inline void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits for all groups of this thread but the last kPending. Other threads see the copies after a barrier.
template <int kPending>
__device__ inline void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Synchronises the first `threads` threads of the block, whole warps; __syncthreads() is for all of them.
__device__ inline void SyncFirst(int threads) { asm volatile("bar.sync 1, %0;" ::"r"(threads) : "memory"); }

/// The dynamic shared memory of the block.
__device__ inline void* DynamicShared() {
  extern __shared__ __align__(128) uint4 dynamic_shared[];
  return dynamic_shared;
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_INTRINSICS_CUH_
