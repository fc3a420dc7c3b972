// The int8 copy of a matrix that certified_test reads, built the plain way.
#ifndef DEJAVU_TESTS_CONFORMANCE_QUANTIZEROWS_H_
#define DEJAVU_TESTS_CONFORMANCE_QUANTIZEROWS_H_

#include <cstdint>
#include <vector>

namespace dejavu::testing {

struct QuantizedRows {
  std::vector<int8_t> q8;   // (n, k)
  std::vector<float> rows;  // (n, 4): scale, residual norm, norm, bias; both norms rounded up
};

/// `weights` are (n, k), `bias` is (n).
[[nodiscard]] QuantizedRows QuantizeRows(const std::vector<float>& weights, const std::vector<float>& bias, int64_t k);

}  // namespace dejavu::testing

#endif  // DEJAVU_TESTS_CONFORMANCE_QUANTIZEROWS_H_
