// Copies of whole rows to shared memory by the hardware (sm_90), and the barriers that count their bytes.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_BULKCOPY_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_BULKCOPY_CUH_

namespace dejavu {

/// Whether the code is for a device that has them. Templates ask before they instantiate what follows.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
constexpr bool kHasBulkCopies = true;
#else
constexpr bool kHasBulkCopies = false;
#endif

/// In shared memory. It is in phase 0, and in the next one as soon as it has had all arrivals and bytes it waits for.
using Barrier = unsigned long long;

__device__ inline unsigned SharedAddress(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/// By one thread, which calls FenceBarriers() after the last one; then the block synchronises.
__device__ inline void InitBarrier(Barrier& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(SharedAddress(&barrier)), "r"(arrivals) : "memory");
}

__device__ inline void FenceBarriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

/// Arrives; what the thread read before may then be overwritten.
__device__ inline void Arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(SharedAddress(&barrier)) : "memory");
}

/// Arrives, and says how many bytes copies will bring in this phase: fewer than 2^20.
__device__ inline void ArriveExpecting(Barrier& barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(&barrier)), "r"(bytes)
               : "memory");
}

/// Waits for the end of the phase with this parity. The phase before the first counts as ended, with parity 1.
__device__ inline void WaitBarrier(Barrier& barrier, unsigned parity) {
  unsigned done = 0;
  while (done == 0) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\n"
        "selp.u32 %0, 1, 0, done;\n"
        "}"
        : "=r"(done)
        : "r"(SharedAddress(&barrier)), "r"(parity)
        : "memory");
  }
}

/// Starts to copy weights to shared memory; `barrier` counts the bytes. Addresses and size are multiples of 16. Both
/// addresses should be equal modulo 128: other copies are right but slow. What is copied is read once, so the
/// second-level cache may drop it first.
__device__ inline void CopyBulk(void* to, const void* from, int bytes, Barrier& barrier) {
  unsigned long long policy = 0;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::
          "r"(SharedAddress(to)),
      "l"(from), "r"(bytes), "r"(SharedAddress(&barrier)), "l"(policy)
      : "memory");
}

/// Asks for memory to be brought to the second-level cache. Address and size are multiples of 16.
__device__ inline void PrefetchBulk(const void* from, int bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_BULKCOPY_CUH_
