#include "passes/sparsity/training/LinearAlgebra.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace dejavu {
namespace {

constexpr int kIterations = 16;

double Dot(const double* a, const double* b, int64_t count) {
  double sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int64_t lane = 0; lane < 4; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  for (; i < count; ++i) {
    sums[0] += a[i] * b[i];
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// The same of floats, eight at a time.
float Dot(const float* a, const float* b, int64_t count) {
  float sums[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  for (; i < count; ++i) {
    sums[0] += a[i] * b[i];
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

/// The rows of `vectors`, f32<count, n>, as they are made orthonormal, each relative to those before it.
class Orthonormalizer {
 public:
  Orthonormalizer(int64_t n, int64_t count, std::vector<float>& vectors, int threads)
      : n_(n), count_(count), vectors_(vectors), threads_(threads) {}

  void Run(std::mt19937_64& random) {
    for (int64_t begin = 0; begin < count_; begin += kPanel) {
      const int64_t end = std::min(count_, begin + kPanel);
      for (int64_t i = begin; i < end; ++i) {
        ScaleToOne(i);
      }
      // Nearly all of the work is taking away what lies along earlier panels, by products of matrices. Twice is enough:
      // the second time takes away what rounding left.
      TakeAwayEarlier(begin, end);
      TakeAwayEarlier(begin, end);
      for (int64_t i = begin; i < end; ++i) {
        bool independent = Separate(i, begin);
        // What depended on those before it becomes any other direction.
        for (int attempt = 0; !independent && attempt < 3; ++attempt) {
          std::generate_n(Row(i), n_, [&] { return static_cast<float>(random() >> 40U) * 0x1p-23F - 1; });
          independent = ScaleToOne(i) && Separate(i, 0);
        }
      }
    }
  }

 private:
  static constexpr int64_t kPanel = 32;

  float* Row(int64_t i) { return vectors_.data() + i * n_; }

  bool ScaleToOne(int64_t i) {
    const float length = std::sqrt(Dot(Row(i), Row(i), n_));
    if (!(length > std::numeric_limits<float>::min())) {
      return false;
    }
    std::for_each(Row(i), Row(i) + n_, [length](float& value) { value /= length; });
    return true;
  }

  void TakeAwayEarlier(int64_t begin, int64_t end) {
    if (begin == 0) {
      return;
    }
    dots_.resize(static_cast<size_t>((end - begin) * begin));
    Multiply({.m = end - begin,
              .n = begin,
              .k = n_,
              .a = Row(begin),
              .a_stride = n_,
              .b = Row(0),
              .b_stride = n_,
              .b_transposed = true,
              .c = dots_.data()},
             threads_);
    std::for_each(dots_.begin(), dots_.end(), [](float& dot) { dot = -dot; });
    Multiply({.m = end - begin,
              .n = n_,
              .k = begin,
              .a = dots_.data(),
              .a_stride = begin,
              .b = Row(0),
              .b_stride = n_,
              .c = Row(begin),
              .add = true},
             threads_);
  }

  /// Takes away what lies along the rows from `first` to `i`. False if nothing is left.
  bool Separate(int64_t i, int64_t first) {
    for (int64_t j = 0; j < 2 * (i - first); ++j) {
      const float* other = Row(first + j % (i - first));
      const float dot = Dot(Row(i), other, n_);
      std::transform(Row(i), Row(i) + n_, other, Row(i),
                     [dot](float value, float along) { return value - dot * along; });
    }
    return Dot(Row(i), Row(i), n_) > 1e-10F && ScaleToOne(i);
  }

  int64_t n_;
  int64_t count_;
  std::vector<float>& vectors_;
  int threads_;
  std::vector<float> dots_;
};

}  // namespace

void Multiply(const SgemmCall& call, int threads) {
  // Enough for many threads, each large enough for the library.
  const int64_t panel = std::max<int64_t>(16, (call.m + 15) / 16);
  const int64_t panels = (call.m + panel - 1) / panel;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t p = 0; p < panels; ++p) {
    SgemmCall part = call;
    const int64_t begin = p * panel;
    part.m = std::min(panel, call.m - begin);
    part.a += call.a_transposed ? begin : begin * call.a_stride;
    part.c += begin * call.n;
    Sgemm(part);
  }
}

void Linear(const LinearSizes& sizes, const float* x, const float* w, const float* bias, int threads, float* y) {
  for (int64_t i = 0; bias != nullptr && i < sizes.count; ++i) {
    std::copy_n(bias, sizes.outputs, y + i * sizes.outputs);
  }
  Multiply({.m = sizes.count,
            .n = sizes.outputs,
            .k = sizes.inputs,
            .a = x,
            .a_stride = sizes.inputs,
            .b = w,
            .b_stride = sizes.inputs,
            .b_transposed = true,
            .c = y,
            .add = bias != nullptr},
           threads);
}

absl::Status Cholesky(int64_t n, std::vector<double>& matrix) {
  for (int64_t i = 0; i < n; ++i) {
    double* row = matrix.data() + i * n;
    for (int64_t j = 0; j <= i; ++j) {
      const double* other = matrix.data() + j * n;
      const double rest = row[j] - Dot(row, other, j);
      if (i != j) {
        row[j] = rest / other[j];
      } else if (rest > 0) {
        row[j] = std::sqrt(rest);
      } else {
        return UserError("the inputs' covariance is not positive definite: infinite, NaN or all equal numbers");
      }
    }
  }
  return absl::OkStatus();
}

void SolveTriangular(int64_t n, const std::vector<double>& lower, bool transposed, int64_t columns,
                     std::vector<double>& x, int threads) {
  constexpr int64_t kStripe = 32;  // columns, which don't depend on each other
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t stripe = 0; stripe < columns; stripe += kStripe) {
    const int64_t width = std::min(kStripe, columns - stripe);
    for (int64_t step = 0; step < n; ++step) {
      const int64_t i = transposed ? n - 1 - step : step;
      double* row = x.data() + i * columns + stripe;
      for (int64_t done = 0; done < step; ++done) {
        const int64_t j = transposed ? n - 1 - done : done;
        const double factor =
            transposed ? lower[static_cast<size_t>(j * n + i)] : lower[static_cast<size_t>(i * n + j)];
        const double* other = x.data() + j * columns + stripe;
        for (int64_t k = 0; k < width; ++k) {
          row[k] -= factor * other[k];
        }
      }
      const double scale = 1 / lower[static_cast<size_t>(i * n + i)];
      for (int64_t k = 0; k < width; ++k) {
        row[k] *= scale;
      }
    }
  }
}

std::vector<float> LeadingEigenvectors(int64_t n, const std::vector<float>& matrix, int64_t count, int threads) {
  // Some more than asked for: the last ones converge slowly.
  const int64_t columns = std::min(n, count + count / 8 + 8);
  std::mt19937_64 random(1);
  std::vector<float> vectors(static_cast<size_t>(columns * n));  // as rows
  for (float& value : vectors) {
    value = static_cast<float>(random() >> 40U) * 0x1p-23F - 1;
  }
  std::vector<float> next(vectors.size());
  Orthonormalizer orthonormalizer(n, columns, vectors, threads);
  for (int i = 0; i < kIterations; ++i) {
    orthonormalizer.Run(random);
    Multiply({.m = columns,
              .n = n,
              .k = n,
              .a = vectors.data(),
              .a_stride = n,
              .b = matrix.data(),
              .b_stride = n,
              .c = next.data()},
             threads);
    std::swap(vectors, next);
  }
  orthonormalizer.Run(random);
  std::vector<float> result(static_cast<size_t>(n * count));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < count; ++j) {
      result[static_cast<size_t>(i * count + j)] = vectors[static_cast<size_t>(j * n + i)];
    }
  }
  return result;
}

}  // namespace dejavu
