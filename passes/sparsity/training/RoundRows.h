// Rounds a matrix to few bits so that its products keep their values on what it multiplies.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_ROUNDROWS_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_ROUNDROWS_H_

#include <cstdint>
#include <vector>

namespace dejavu {

/// Replaces each row w of `matrix`, f32<rows, width>, by multiples q of a step of its own, -7 to 7, such that the
/// packing of 4 bits (PredictorRows.h) finds these very multiples. With L L^T the covariance of the vectors x that are
/// multiplied, the error of w x has the variance |L^T (w - q)|^2: elements are rounded from the last to the first, each
/// to what makes up best for the errors of those before (Babai's nearest plane), or each by itself where that is
/// better. Of several steps, the best. Rows of zeros stay as they are, and those for which the packing would find no
/// such step. `lower` is L, f64<width, width>. Results don't depend on `threads`.
void RoundRows(std::vector<float>& matrix, int64_t width, const std::vector<double>& lower, int threads);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_ROUNDROWS_H_
