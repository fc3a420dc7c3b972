// Decoding the likeliest tokens without waiting for the host.
#ifndef DEJAVU_RUNTIME_CUDA_GREEDYLOOP_H_
#define DEJAVU_RUNTIME_CUDA_GREEDYLOOP_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/cuda/CudaObjects.h"
#include "runtime/cuda/GraphBuilder.h"
#include "runtime/cuda/LaunchOrder.h"
#include "runtime/device/Device.h"

namespace dejavu::cuda {

/// The name of the code file's kernel that makes the chosen token the next one: advance(choice, control, choices).
inline constexpr char kAdvanceSymbol[] = "advance";

/// A graph that decodes the token in the device's control block and leaves the next one there, replayed back to back.
/// The host follows a few tokens behind.
class GreedyLoop {
 public:
  /// The last of `launches` is the kernel "advance", which writes the choice after the token at position p to
  /// choices[p], in pinned memory. The context must be current, here and below; all arguments must outlive the loop.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<GreedyLoop>> Create(const CudaDevice& device,
                                                                          const std::vector<BoundLaunch>& launches,
                                                                          const std::vector<LaunchEdge>& edges,
                                                                          StreamHandle stream, const int32_t* choices);

  /// Decodes `count` tokens from position `past` on, or fewer if `on_choice` says so. Whether the device is still at
  /// work then, on a few more of the `count`.
  [[nodiscard]] absl::StatusOr<bool> Run(int64_t past, int64_t count, const OnChoice& on_choice);

 private:
  // Enough that the device always has work while the host wakes up and prints.
  static constexpr int64_t kAhead = 4;

  GreedyLoop(const CudaDevice& device, StreamHandle stream, const int32_t* choices)
      : device_(device), stream_(stream), choices_(choices) {}

  const CudaDevice& device_;
  StreamHandle stream_;
  const int32_t* choices_;
  GraphExec graph_;
  std::array<Event, kAhead> ends_;  // of the replays whose choices the host has not seen
};

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_GREEDYLOOP_H_
