// Runs kernels of another processor under qemu's user-mode emulation.
#ifndef DEJAVU_TESTS_CONFORMANCE_EMULATE_H_
#define DEJAVU_TESTS_CONFORMANCE_EMULATE_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/Status.h"
#include "tests/conformance/GuardedBuffer.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {

/// A processor to emulate: the oldest of its instruction set, so that newer instructions are illegal.
struct Emulator {
  std::string isa;  // of CpuTargets()
  std::string command;
  std::string driver;   // the program that loads and calls a kernel
  std::string missing;  // why it cannot run; empty if it can
};

/// AArch64, and x86-64-v2 on hosts that can build for it.
[[nodiscard]] const std::vector<Emulator>& Emulators();
/// The emulator of an instruction set; null where there is none.
[[nodiscard]] const Emulator* FindEmulator(std::string_view isa);

/// An object in a file, to be called any number of times.
class EmulatedKernels {
 public:
  /// `emulator` must outlive it.
  EmulatedKernels(const Emulator& emulator, const std::vector<std::byte>& object);
  EmulatedKernels(const EmulatedKernels&) = delete;
  EmulatedKernels& operator=(const EmulatedKernels&) = delete;
  ~EmulatedKernels();
  /// The arguments after a call of `symbol`, as Call of Execute.h gives them.
  [[nodiscard]] absl::StatusOr<std::vector<Argument>> Call(const std::string& symbol, const Problem& problem,
                                                           int threads, Placement placement) const;

 private:
  const Emulator& emulator_;
  std::string folder_;
};

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_EMULATE_H_
