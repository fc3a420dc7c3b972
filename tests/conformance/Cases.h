// The specs that conformance runs for every kernel, and the shapes of their calls.
#ifndef DEJAVU_TESTS_CONFORMANCE_CASES_H_
#define DEJAVU_TESTS_CONFORMANCE_CASES_H_

#include <cstdint>
#include <vector>

#include "codegen/target/KernelSpec.h"

namespace dejavu::testing {

struct Case {
  KernelSpec spec;
  int64_t tokens = 1;
  int64_t past = 0;
};

/// Every emitted kernel is here at least once, with each dtype and each kind of tail.
[[nodiscard]] const std::vector<Case>& Cases();

/// Specs by kernel; T is a number or "tokens".
[[nodiscard]] KernelSpec LinearSpec(const Dim& tokens, int64_t n, int64_t k, DType dtype, bool bias, bool residual,
                                    bool relu);

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_CASES_H_
