// How fast the CPU's memory is.
#ifndef DEJAVU_RUNTIME_CPU_CPUMEMORYMETER_H_
#define DEJAVU_RUNTIME_CPU_CPUMEMORYMETER_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "runtime/cpu/HostBuffer.h"
#include "runtime/cpu/ThreadTeam.h"
#include "runtime/device/Device.h"

namespace dejavu {

/// Measures over buffers of one size with a team of threads, each with a contiguous part.
class CpuMemoryMeter final : public MemoryMeter {
 public:
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<MemoryMeter>> Create(size_t bytes, int threads);

  [[nodiscard]] absl::StatusOr<double> Copy() override;
  [[nodiscard]] absl::StatusOr<std::optional<double>> Read() override;

 private:
  CpuMemoryMeter(HostBuffer from, HostBuffer to, int threads)
      : from_(std::move(from)), to_(std::move(to)), threads_(threads) {}
  double Measure(TeamWork& work, double bytes) const;

  HostBuffer from_;
  HostBuffer to_;
  int threads_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_CPUMEMORYMETER_H_
