// The linear algebra of the trainer. Matrices are row-major; results don't depend on the number of threads.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_LINEARALGEBRA_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_LINEARALGEBRA_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ir/base/Sgemm.h"
#include "ir/base/Status.h"

namespace dejavu {

/// How many elements a matrix of that shape has, or where row `rows` of one begins.
[[nodiscard]] inline size_t Elements(int64_t rows, int64_t columns) { return static_cast<size_t>(rows * columns); }

/// c = a b as in Sgemm(), by `threads` threads; each computes stretches of rows whose ends are fixed by m alone.
void Multiply(const SgemmCall& call, int threads);

/// The sizes of a layer of a network: rows of the input, its outputs and its inputs.
struct LinearSizes {
  int64_t count = 0;
  int64_t outputs = 0;
  int64_t inputs = 0;
};
/// y = x w^T + bias, with x f32<count, inputs>, w f32<outputs, inputs> and y f32<count, outputs>; `bias`, f32<outputs>,
/// may be null for none. By `threads` threads, on which results don't depend.
void Linear(const LinearSizes& sizes, const float* x, const float* w, const float* bias, int threads, float* y);

/// Replaces the lower triangle of the symmetric `matrix`, f64<n, n>, by L with L L^T = matrix. Fails unless the matrix
/// is positive definite.
[[nodiscard]] absl::Status Cholesky(int64_t n, std::vector<double>& matrix);

/// Replaces x, f64<n, columns>, by L^-1 x or, `transposed`, L^-T x.
void SolveTriangular(int64_t n, const std::vector<double>& lower, bool transposed, int64_t columns,
                     std::vector<double>& x, int threads);

/// `count` orthonormal columns, f32<n, count>, that span nearly what the leading eigenvectors of the symmetric positive
/// semidefinite `matrix`, f32<n, n>, do, the most important first. By orthogonal iteration from a fixed start.
[[nodiscard]] std::vector<float> LeadingEigenvectors(int64_t n, const std::vector<float>& matrix, int64_t count,
                                                     int threads);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_LINEARALGEBRA_H_
