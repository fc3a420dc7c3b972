// Runs kernels of another architecture under qemu's user-mode emulation.
#ifndef DEJAVU_TESTS_CONFORMANCE_EMULATE_H_
#define DEJAVU_TESTS_CONFORMANCE_EMULATE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "ir/base/Status.h"
#include "tests/conformance/GuardedBuffer.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {

/// Empty if AArch64 code can be run, else which tool is missing.
[[nodiscard]] std::string WhyNoEmulation();

/// An AArch64 object in a file, to be called any number of times.
class EmulatedKernels {
 public:
  explicit EmulatedKernels(const std::vector<std::byte>& object);
  EmulatedKernels(const EmulatedKernels&) = delete;
  EmulatedKernels& operator=(const EmulatedKernels&) = delete;
  ~EmulatedKernels();
  /// The arguments after a call of `symbol`, as Call of Execute.h gives them.
  [[nodiscard]] absl::StatusOr<std::vector<Argument>> Call(const std::string& symbol, const Problem& problem,
                                                           int threads, Placement placement) const;

 private:
  std::string folder_;
};

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_EMULATE_H_
