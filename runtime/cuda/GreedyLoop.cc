#include "runtime/cuda/GreedyLoop.h"

#include "ir/base/Status.h"
#include "runtime/cuda/DecodeGraph.h"

namespace dejavu::cuda {

absl::StatusOr<std::unique_ptr<GreedyLoop>> GreedyLoop::Create(const CudaDevice& device,
                                                               const std::vector<BoundLaunch>& launches,
                                                               const std::vector<LaunchEdge>& edges,
                                                               StreamHandle stream, const int32_t* choices) {
  std::unique_ptr<GreedyLoop> loop(new GreedyLoop(device, stream, choices));
  ASSIGN_OR_RETURN(loop->graph_, MakeDecodeGraph(device, nullptr, launches, edges, stream));
  for (Event& end : loop->ends_) {
    ASSIGN_OR_RETURN(end, NewEvent(device, /*timing=*/false));
  }
  return loop;
}

absl::StatusOr<bool> GreedyLoop::Run(int64_t past, int64_t count, const OnChoice& on_choice) {
  const Driver& driver = device_.driver();
  const auto end = [&](int64_t token) { return ends_[static_cast<size_t>(token % kAhead)].get(); };
  int64_t launched = 0;
  for (int64_t seen = 0; seen < count; ++seen) {
    for (; launched < count && launched < seen + kAhead; ++launched) {
      RETURN_IF_ERROR(driver.GraphLaunch(graph_.get(), stream_));
      RETURN_IF_ERROR(driver.EventRecord(end(launched), stream_));
    }
    RETURN_IF_ERROR(driver.EventSynchronize(end(seen)));
    if (!on_choice(choices_[past + seen])) {
      return launched > seen + 1;
    }
  }
  return false;
}

}  // namespace dejavu::cuda
