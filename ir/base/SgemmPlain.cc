#include <algorithm>
#include <array>
#include <vector>

#include "ir/base/Sgemm.h"

namespace dejavu {
namespace {

// Sums side by side, which the compiler keeps in vector registers.
constexpr int64_t kLanes = 16;

float Dot(const float* a, const float* b, int64_t count) {
  std::array<float, kLanes> sums = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += a[i + lane] * b[i + lane];
    }
  }
  float total = 0;
  for (; i < count; ++i) {
    total += a[i] * b[i];
  }
  for (const float sum : sums) {
    total += sum;
  }
  return total;
}

}  // namespace

void Sgemm(const SgemmCall& call) {
  std::vector<float> column;
  for (int64_t row = 0; row < call.m; ++row) {
    const float* a = call.a + row * call.a_stride;
    if (call.a_transposed) {
      column.resize(static_cast<size_t>(call.k));
      for (int64_t j = 0; j < call.k; ++j) {
        column[static_cast<size_t>(j)] = call.a[j * call.a_stride + row];
      }
      a = column.data();
    }
    float* c = call.c + row * call.n;
    if (!call.add) {
      std::fill_n(c, call.n, 0.0F);
    }
    if (call.b_transposed) {
      for (int64_t i = 0; i < call.n; ++i) {
        c[i] += Dot(a, call.b + i * call.b_stride, call.k);
      }
      continue;
    }
    for (int64_t j = 0; j < call.k; ++j) {
      const float* b = call.b + j * call.b_stride;
      for (int64_t i = 0; i < call.n; ++i) {
        c[i] += a[j] * b[i];
      }
    }
  }
}

void UseSerialSgemm() {}

}  // namespace dejavu
