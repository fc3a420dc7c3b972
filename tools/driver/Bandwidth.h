// How fast this machine's memory is: the yardstick beside each measured speed.
#ifndef DEJAVU_TOOLS_DRIVER_BANDWIDTH_H_
#define DEJAVU_TOOLS_DRIVER_BANDWIDTH_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "runtime/cpu/HostBuffer.h"
#include "runtime/cpu/ThreadTeam.h"

namespace dejavu {

/// Measures over buffers of one size with a team of threads, each with a contiguous part.
class BandwidthMeter {
 public:
  [[nodiscard]] static absl::StatusOr<BandwidthMeter> Create(size_t bytes, int threads);

  /// One pass of a copy from one buffer to another, in GB/s of bytes read and written.
  [[nodiscard]] double Copy();
  /// One pass of a sum over one buffer, in GB/s of bytes read.
  [[nodiscard]] double Read();

 private:
  BandwidthMeter(HostBuffer from, HostBuffer to, int threads)
      : from_(std::move(from)), to_(std::move(to)), threads_(threads) {}
  double Measure(TeamWork& work, double bytes) const;

  HostBuffer from_;
  HostBuffer to_;
  int threads_;
};

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_BANDWIDTH_H_
