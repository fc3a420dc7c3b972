// Runs compiled kernels, in this process or under an emulator.
#ifndef DEJAVU_TESTS_CONFORMANCE_EXECUTE_H_
#define DEJAVU_TESTS_CONFORMANCE_EXECUTE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "codegen/cpu/CpuTarget.h"
#include "ir/base/Status.h"
#include "tests/conformance/GuardedBuffer.h"
#include "tests/conformance/Problem.h"

namespace dejavu::testing {

/// A shared object of kernels, loaded into this process.
class LoadedKernels {
 public:
  explicit LoadedKernels(const std::vector<std::byte>& object);
  LoadedKernels(const LoadedKernels&) = delete;
  LoadedKernels& operator=(const LoadedKernels&) = delete;
  ~LoadedKernels();

  using Function = void (*)(void* const* args, const int64_t* dims, int32_t thread, int32_t threads);
  /// The kernel; null if the object was not loaded or has no such symbol.
  [[nodiscard]] Function Find(const std::string& symbol) const;

 private:
  int file_;
  void* handle_ = nullptr;
};

/// The arguments after a call by `threads` threads one after the other, the last one first.
[[nodiscard]] std::vector<Argument> Call(LoadedKernels::Function kernel, const Problem& problem, int threads,
                                         Placement placement);

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_EXECUTE_H_
