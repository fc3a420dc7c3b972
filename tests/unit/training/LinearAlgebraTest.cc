#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "passes/sparsity/training/LinearAlgebra.h"

namespace dejavu {
namespace {

std::vector<double> RandomMatrix(int64_t rows, int64_t columns, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> matrix(static_cast<size_t>(rows * columns));
  for (double& value : matrix) {
    value = normal(random);
  }
  return matrix;
}

TEST(LinearAlgebra, SolvesWhatCholeskyFactored) {
  constexpr int64_t kN = 37;
  const std::vector<double> a = RandomMatrix(kN, kN, 1);
  std::vector<double> square(kN * kN);
  for (int64_t i = 0; i < kN; ++i) {
    for (int64_t j = 0; j < kN; ++j) {
      for (int64_t k = 0; k < kN; ++k) {
        square[i * kN + j] += a[i * kN + k] * a[j * kN + k];
      }
    }
  }
  std::vector<double> lower = square;
  ASSERT_TRUE(Cholesky(kN, lower).ok());
  const std::vector<double> b = RandomMatrix(kN, 3, 2);
  std::vector<double> x = b;
  SolveTriangular(kN, lower, /*transposed=*/false, 3, x, 2);
  SolveTriangular(kN, lower, /*transposed=*/true, 3, x, 2);
  for (int64_t i = 0; i < kN; ++i) {
    for (int64_t c = 0; c < 3; ++c) {
      double sum = 0;
      for (int64_t j = 0; j < kN; ++j) {
        sum += square[i * kN + j] * x[j * 3 + c];
      }
      EXPECT_NEAR(sum, b[i * 3 + c], 1e-6);
    }
  }
}

TEST(LinearAlgebra, RefusesWhatIsNotPositiveDefinite) {
  std::vector<double> zero(4);
  EXPECT_FALSE(Cholesky(2, zero).ok());
  std::vector<double> nan = {1, 0, 0, std::nan("")};
  EXPECT_FALSE(Cholesky(2, nan).ok());
}

TEST(LinearAlgebra, FindsTheLeadingDirections) {
  // Three strong directions among forty, and noise.
  constexpr int64_t kN = 40;
  const std::vector<double> d = RandomMatrix(3, kN, 3);
  std::vector<float> matrix(kN * kN);
  for (int64_t i = 0; i < kN; ++i) {
    for (int64_t j = 0; j < kN; ++j) {
      double sum = i == j ? 0.01 : 0;
      for (int64_t k = 0; k < 3; ++k) {
        sum += d[k * kN + i] * d[k * kN + j] * static_cast<double>(k + 1);
      }
      matrix[i * kN + j] = static_cast<float>(sum);
    }
  }
  const std::vector<float> u = LeadingEigenvectors(kN, matrix, 3, 2);
  for (int64_t a = 0; a < 3; ++a) {
    for (int64_t b = 0; b < 3; ++b) {
      double dot = 0;
      for (int64_t i = 0; i < kN; ++i) {
        dot += static_cast<double>(u[i * 3 + a]) * u[i * 3 + b];
      }
      EXPECT_NEAR(dot, a == b ? 1 : 0, 1e-5);
    }
  }
  // Each strong direction lies in their span.
  for (int64_t k = 0; k < 3; ++k) {
    double norm = 0;
    double inside = 0;
    for (int64_t i = 0; i < kN; ++i) {
      norm += d[k * kN + i] * d[k * kN + i];
    }
    for (int64_t a = 0; a < 3; ++a) {
      double dot = 0;
      for (int64_t i = 0; i < kN; ++i) {
        dot += d[k * kN + i] * static_cast<double>(u[i * 3 + a]);
      }
      inside += dot * dot;
    }
    EXPECT_NEAR(inside / norm, 1, 1e-4);
  }
  EXPECT_EQ(u, LeadingEigenvectors(kN, matrix, 3, 1)) << "depends on the number of threads";
}

TEST(LinearAlgebra, EigenvectorsOfNothingAreStillOrthonormal) {
  const std::vector<float> u = LeadingEigenvectors(8, std::vector<float>(64), 4, 1);
  for (const float value : u) {
    EXPECT_TRUE(std::isfinite(value));
  }
}

}  // namespace
}  // namespace dejavu
