// What the conformance suite runs kernels on. Each test program links the devices of one target.
#ifndef DEJAVU_TESTS_CONFORMANCE_TESTDEVICE_H_
#define DEJAVU_TESTS_CONFORMANCE_TESTDEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "codegen/target/KernelTable.h"
#include "ir/base/Status.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {

/// A way to run a call that must not change its results.
struct Variant {
  std::string name;
  /// Whether the results must be those of the first variant bit for bit; otherwise they must be right.
  bool same_bits = true;
};

/// A compiled kernel.
class TestKernel {
 public:
  virtual ~TestKernel() = default;
  /// At least one.
  [[nodiscard]] virtual std::vector<Variant> variants() const = 0;
  /// The arguments after a call; an error where the device failed or something outside the buffers was written.
  [[nodiscard]] virtual absl::StatusOr<std::vector<Argument>> Call(const Problem& problem, size_t variant) const = 0;
};

/// An instruction set of a target, and something that runs it. Lives as long as the process.
class TestDevice {
 public:
  virtual ~TestDevice() = default;
  /// A part of tests' names, such as "x86_64_v3" or "sm_90".
  [[nodiscard]] virtual std::string name() const = 0;
  /// Empty if kernels can be run, else why not.
  [[nodiscard]] virtual std::string WhyNot() const { return ""; }
  /// Whether thousands of calls take seconds.
  [[nodiscard]] virtual bool fast() const { return true; }
  [[nodiscard]] virtual const KernelTable& kernels() const = 0;
  /// Whether the device has the kernel, which its target has; joint ones are not on every device.
  [[nodiscard]] virtual bool Has(const KernelSpec& spec) const {
    static_cast<void>(spec);
    return true;
  }
  [[nodiscard]] virtual absl::StatusOr<std::unique_ptr<TestKernel>> Compile(const KernelSpec& spec) const = 0;
  /// The largest relative error of exp(-x) inside kernels.
  [[nodiscard]] virtual double ExpError(double x) const = 0;
};

/// Those of the program that this is linked into.
[[nodiscard]] const std::vector<const TestDevice*>& TestDevices();

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_TESTDEVICE_H_
