// A barrier for threads that reach it within microseconds of each other.
#ifndef DEJAVU_RUNTIME_CPU_BARRIER_H_
#define DEJAVU_RUNTIME_CPU_BARRIER_H_

#include <atomic>
#include <cstdint>

namespace dejavu {

/// Tells the processor that this thread spins.
inline void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// Reusable for any number of rounds. Everything that any thread wrote before Wait() is visible to all after it.
class SpinBarrier {
 public:
  /// Returns when `participants` threads have called it in this round; all must pass the same number.
  void Wait(int participants) {
    const uint32_t round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == participants) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      // notify_all() wakes nobody where it counts no sleepers. A count that is read before the store can be seen misses
      // one that found the old round and goes to sleep, for ever.
      std::atomic_thread_fence(std::memory_order_seq_cst);
      round_.notify_all();
      return;
    }
    for (int spins = 0; spins < kSpins; ++spins) {
      if (round_.load(std::memory_order_acquire) != round) {
        return;
      }
      SpinPause();
    }
    // More threads than free cores: sleep, so that the late ones get ours.
    round_.wait(round, std::memory_order_acquire);
  }

 private:
  // 15 to 70 microseconds, more than threads that have a core each differ by in a kernel.
  static constexpr int kSpins = 1500;

  // On two cache lines, as all spin on one while arrivals change the other.
  alignas(64) std::atomic<int> arrived_ = 0;
  alignas(64) std::atomic<uint32_t> round_ = 0;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_BARRIER_H_
