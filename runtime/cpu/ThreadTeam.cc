#include "runtime/cpu/ThreadTeam.h"

#include <omp.h>

namespace dejavu {

void ThreadTeam::Run(TeamWork& work) {
  work_ = &work;
  finished_.store(0, std::memory_order_relaxed);
  started_.fetch_add(1, std::memory_order_release);
#pragma omp parallel num_threads(threads_)
  RunThread();
  // The region's end has waited for all threads; this read orders their writes before what follows.
  (void)finished_.load(std::memory_order_acquire);
}

void ThreadTeam::RunThread() {
  (void)started_.load(std::memory_order_acquire);
  work_->Run(omp_get_thread_num(), omp_get_num_threads(), barrier_);
  finished_.fetch_add(1, std::memory_order_release);
}

}  // namespace dejavu
