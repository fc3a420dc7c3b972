#include "passes/sparsity/training/CausalHead.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "passes/sparsity/training/LinearAlgebra.h"

namespace dejavu {

std::vector<float> ColumnsOf(const std::vector<float>& all, int64_t rows, int64_t number, int64_t heads) {
  const int64_t width = static_cast<int64_t>(all.size()) / rows;
  const int64_t dim = width / heads;
  std::vector<float> part;
  part.reserve(static_cast<size_t>(rows * dim));
  for (int64_t t = 0; t < rows; ++t) {
    const auto from = all.begin() + t * width + number * dim;
    part.insert(part.end(), from, from + dim);
  }
  return part;
}

void SetColumnsOf(const std::vector<float>& part, int64_t rows, int64_t number, int64_t heads,
                  std::vector<float>& all) {
  const int64_t width = static_cast<int64_t>(all.size()) / rows;
  const int64_t dim = width / heads;
  for (int64_t t = 0; t < rows; ++t) {
    std::copy_n(part.begin() + t * dim, dim, all.begin() + t * width + number * dim);
  }
}

CausalHead::CausalHead(Floats q, Floats k, Floats v, int64_t rows, float scale, int threads)
    : q_(std::move(q)),
      k_(std::move(k)),
      v_(std::move(v)),
      rows_(rows),
      dim_(static_cast<int64_t>(v_.size()) / rows),
      scale_(scale),
      threads_(threads),
      shares_(Product({q_}, dim_, {k_, true}, rows)) {
  for (int64_t t = 0; t < rows_; ++t) {
    float* row = shares_.data() + t * rows_;
    float* end = row + t + 1;
    std::for_each(row, end, [scale](float& score) { score *= scale; });
    const float most = *std::max_element(row, end);
    double sum = 0;
    std::for_each(row, end, [&](float& score) {
      score = std::exp(score - most);
      sum += score;
    });
    std::for_each(row, end, [sum](float& share) { share = static_cast<float>(share / sum); });
    std::fill(end, row + rows_, 0.0F);
  }
}

CausalHead::Floats CausalHead::Output() const { return Product({shares_}, rows_, {v_}, dim_); }

CausalHead::Gradients CausalHead::Back(const Floats& g) const {
  Floats scores = Product({g}, dim_, {v_, true}, rows_);  // of the shares first
  for (int64_t t = 0; t < rows_; ++t) {
    const float* shares = shares_.data() + t * rows_;
    float* row = scores.data() + t * rows_;
    double along = 0;
    for (int64_t i = 0; i <= t; ++i) {
      along += static_cast<double>(row[i]) * shares[i];
    }
    for (int64_t i = 0; i < rows_; ++i) {
      row[i] = shares[i] * (row[i] - static_cast<float>(along)) * scale_;
    }
  }
  return {.q = Product({scores}, rows_, {k_}, dim_),
          .k = Product({scores, true}, rows_, {q_}, dim_),
          .v = Product({shares_, true}, rows_, {g}, dim_)};
}

CausalHead::Floats CausalHead::Product(const Factor& a, int64_t inner, const Factor& b, int64_t columns) const {
  Floats c(static_cast<size_t>(rows_ * columns));
  Multiply({.m = rows_,
            .n = columns,
            .k = inner,
            .a = a.values.data(),
            .a_stride = a.transposed ? rows_ : inner,
            .a_transposed = a.transposed,
            .b = b.values.data(),
            .b_stride = b.transposed ? inner : columns,
            .b_transposed = b.transposed,
            .c = c.data()},
           threads_);
  return c;
}

}  // namespace dejavu
