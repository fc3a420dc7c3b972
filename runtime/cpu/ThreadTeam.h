// A team of OpenMP threads that runs one piece of work together.
#ifndef DEJAVU_RUNTIME_CPU_THREADTEAM_H_
#define DEJAVU_RUNTIME_CPU_THREADTEAM_H_

#include <atomic>
#include <cstdint>

#include "runtime/cpu/Barrier.h"

namespace dejavu {

/// Work for a team. Run() is called once by every thread.
class TeamWork {
 public:
  TeamWork() = default;
  TeamWork(const TeamWork&) = delete;
  TeamWork& operator=(const TeamWork&) = delete;
  virtual ~TeamWork() = default;

  /// `thread` is from 0 to threads - 1; `barrier.Wait(threads)` synchronises the team. Must not throw.
  virtual void Run(int thread, int threads, SpinBarrier& barrier) = 0;
};

/// Runs work on a fixed number of threads, the caller among them. OpenMP keeps the threads between calls, so starting
/// costs a few microseconds. One call at a time.
class ThreadTeam {
 public:
  /// `threads` is at least 1. OpenMP may give fewer (OMP_THREAD_LIMIT); work sees the real number.
  explicit ThreadTeam(int threads) : threads_(threads) {}

  [[nodiscard]] int threads() const { return threads_; }

  /// Returns when every thread has finished; what they wrote is then visible to the caller.
  void Run(TeamWork& work);

 private:
  void RunThread();

  int threads_;
  TeamWork* work_ = nullptr;
  // Hands work_ to the team and its results back. OpenMP does this by itself, but in ways that race detectors, which
  // don't see into its library, cannot follow.
  std::atomic<uint32_t> started_ = 0;
  std::atomic<uint32_t> finished_ = 0;
  SpinBarrier barrier_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_THREADTEAM_H_
