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

/// Makes the rows of `vectors`, f32<count, n>, orthonormal, each relative to those before it.
void Orthonormalize(int64_t n, int64_t count, std::vector<float>& vectors, std::mt19937_64& random) {
  for (int64_t i = 0; i < count; ++i) {
    float* current = vectors.data() + i * n;
    const auto scale_to_one = [&] {
      const float length = std::sqrt(Dot(current, current, n));
      if (!(length > std::numeric_limits<float>::min())) {
        return false;
      }
      std::for_each(current, current + n, [length](float& value) { value /= length; });
      return true;
    };
    for (int attempt = 0; attempt < 3; ++attempt) {
      bool independent = scale_to_one();
      // Twice is enough: the second time takes away what rounding left.
      for (int64_t j = 0; independent && j < 2 * i; ++j) {
        const float* other = vectors.data() + (j % i) * n;
        const float dot = Dot(current, other, n);
        for (int64_t k = 0; k < n; ++k) {
          current[k] -= dot * other[k];
        }
      }
      independent = independent && Dot(current, current, n) > 1e-10F;
      if (independent && scale_to_one()) {
        break;
      }
      // It depended on those before it: any other direction will do.
      for (int64_t k = 0; k < n; ++k) {
        current[k] = static_cast<float>(random() >> 40U) * 0x1p-23F - 1;
      }
    }
  }
}

}  // namespace

void Multiply(const SgemmCall& call, int threads) {
  // A quarter of the rows each keeps four threads busy and products large enough for the library.
  const int64_t panel = std::max<int64_t>(64, (call.m + 3) / 4);
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
                     std::vector<double>& x) {
  for (int64_t step = 0; step < n; ++step) {
    const int64_t i = transposed ? n - 1 - step : step;
    double* row = x.data() + i * columns;
    for (int64_t done = 0; done < step; ++done) {
      const int64_t j = transposed ? n - 1 - done : done;
      const double factor = transposed ? lower[static_cast<size_t>(j * n + i)] : lower[static_cast<size_t>(i * n + j)];
      const double* other = x.data() + j * columns;
      for (int64_t k = 0; k < columns; ++k) {
        row[k] -= factor * other[k];
      }
    }
    const double scale = 1 / lower[static_cast<size_t>(i * n + i)];
    for (int64_t k = 0; k < columns; ++k) {
      row[k] *= scale;
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
  for (int i = 0; i < kIterations; ++i) {
    Orthonormalize(n, columns, vectors, random);
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
  Orthonormalize(n, columns, vectors, random);
  std::vector<float> result(static_cast<size_t>(n * count));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < count; ++j) {
      result[static_cast<size_t>(i * count + j)] = vectors[static_cast<size_t>(j * n + i)];
    }
  }
  return result;
}

}  // namespace dejavu
