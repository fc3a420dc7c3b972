// Means and covariances of recorded rows, from which regressions follow.
#ifndef DEJAVU_PASSES_SPARSITY_TRAINING_MOMENTS_H_
#define DEJAVU_PASSES_SPARSITY_TRAINING_MOMENTS_H_

#include <cstdint>
#include <vector>

namespace dejavu {

/// Recorded rows are converted and added up so many at a time.
inline constexpr int64_t kRowsAtATime = 2048;

/// Of inputs x, f32<rows, width>, and what shall be guessed from them, y f32<rows, outputs>. Sums are kept in double.
class Moments {
 public:
  Moments(int64_t width, int64_t outputs);

  /// Adds `count` rows. Results don't depend on `threads`.
  void Add(int64_t count, const std::vector<float>& x, const std::vector<float>& y, int threads);
  /// From sums to means and covariances, once all rows are there: at least one. A thousandth of the inputs' mean
  /// variance is added to each input's: it keeps a regression from learning the noise of few rows.
  void Finish();

  std::vector<double> x_mean;      ///< (width)
  std::vector<double> y_mean;      ///< (outputs)
  std::vector<double> covariance;  ///< of x, (width, width)
  std::vector<double> cross;       ///< of x and y, (width, outputs)

 private:
  int64_t width_;
  int64_t outputs_;
  int64_t count_ = 0;
  std::vector<float> buffer_;
};

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_TRAINING_MOMENTS_H_
