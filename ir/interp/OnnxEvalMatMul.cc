// ONNX operators that multiply matrices. Sums are taken in double, in ascending order of the inner dimension.
#include "ir/interp/OnnxEvalOps.h"

namespace dejavu::onnx_eval {
namespace {

/// y<m, n> += a<m, k> * b<k, n>, where element (i, j) of a and b is at i * row + j * column from its start.
struct Matrix {
  int64_t row;
  int64_t column;
};

template <typename T>
void Multiply(const T* a, Matrix a_layout, const T* b, Matrix b_layout, T* y, int64_t m, int64_t n, int64_t k) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t p = 0; p < k; ++p) {
      const T factor = a[i * a_layout.row + p * a_layout.column];
      const T* b_row = b + p * b_layout.row;
      for (int64_t j = 0; j < n; ++j) {
        y[i * n + j] += factor * b_row[j * b_layout.column];
      }
    }
  }
}

/// Multiplies integers modulo 2^64, where overflow is defined.
void Multiply(const int64_t* a, Matrix a_layout, const int64_t* b, Matrix b_layout, int64_t* y, int64_t m, int64_t n,
              int64_t k) {
  Multiply<uint64_t>(reinterpret_cast<const uint64_t*>(a), a_layout, reinterpret_cast<const uint64_t*>(b), b_layout,
                     reinterpret_cast<uint64_t*>(y), m, n, k);
}

absl::Status ExpectMatrices(const Tensor& a, const Tensor& b) {
  RETURN_IF_ERROR(ExpectSameDType(a, b));
  if (a.dtype == DType::kBool) {
    return UserError("operands must be tensors of numbers, but are bool");
  }
  return absl::OkStatus();
}

}  // namespace

/// As numpy's matmul: leading dimensions broadcast, a vector counts as a row on the left and as a column on the right.
Results EvalMatMul(const Call& call) {
  const Tensor& a = call.input(0);
  const Tensor& b = call.input(1);
  RETURN_IF_ERROR(ExpectMatrices(a, b));
  if (a.rank() == 0 || b.rank() == 0) {
    return UserError("operands must not be scalars");
  }
  std::vector<int64_t> a_dims = a.dims;
  std::vector<int64_t> b_dims = b.dims;
  if (a.rank() == 1) {
    a_dims.insert(a_dims.begin(), 1);
  }
  if (b.rank() == 1) {
    b_dims.push_back(1);
  }
  const int64_t m = a_dims[a_dims.size() - 2];
  const int64_t k = a_dims.back();
  const int64_t n = b_dims.back();
  if (b_dims[b_dims.size() - 2] != k) {
    return UserError("cannot multiply shapes ", DimsToString(a.dims), " and ", DimsToString(b.dims));
  }
  const absl::Span<const int64_t> a_batch(a_dims.data(), a_dims.size() - 2);
  const absl::Span<const int64_t> b_batch(b_dims.data(), b_dims.size() - 2);
  ASSIGN_OR_RETURN(const std::vector<int64_t> batch, BroadcastDims(a_batch, b_batch));
  std::vector<int64_t> dims = batch;
  if (a.rank() > 1) {
    dims.push_back(m);
  }
  if (b.rank() > 1) {
    dims.push_back(n);
  }
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(a.dtype, std::move(dims)));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  int64_t next = 0;
  ForEachIndex<2>(batch, {BroadcastStrides(a_batch, batch), BroadcastStrides(b_batch, batch)},
                  [&](const std::array<int64_t, 2>& at) {
                    const auto multiply = [&](const auto& left, const auto& right, auto& out) {
                      Multiply(left.data() + at[0] * m * k, Matrix{k, 1}, right.data() + at[1] * k * n, Matrix{n, 1},
                               out.data() + next, m, n, k);
                    };
                    IsFloat(a.dtype) ? multiply(a.floats, b.floats, y.floats) : multiply(a.ints, b.ints, y.ints);
                    next += m * n;
                  });
  for (int64_t& value : y.ints) {
    value = WrapToDType(value, y.dtype);
  }
  return call.Rounded(std::move(y));
}

/// y = alpha * A * B + beta * C for float matrices, each of A and B transposed on request; C broadcasts.
Results EvalGemm(const Call& call) {
  const Tensor& a = call.input(0);
  const Tensor& b = call.input(1);
  const Tensor* c = call.optional(2);
  RETURN_IF_ERROR(ExpectFloat(a));
  RETURN_IF_ERROR(ExpectSameDType(a, b));
  ASSIGN_OR_RETURN(const double alpha, call.Float("alpha", 1));
  ASSIGN_OR_RETURN(const double beta, call.Float("beta", 1));
  ASSIGN_OR_RETURN(const int64_t trans_a, call.Int("transA", 0));
  ASSIGN_OR_RETURN(const int64_t trans_b, call.Int("transB", 0));
  if (a.rank() != 2 || b.rank() != 2 || a.dims[trans_a != 0 ? 0 : 1] != b.dims[trans_b != 0 ? 1 : 0]) {
    return UserError("cannot multiply shapes ", DimsToString(a.dims), trans_a != 0 ? " (transposed)" : "", " and ",
                     DimsToString(b.dims), trans_b != 0 ? " (transposed)" : "");
  }
  const int64_t m = a.dims[trans_a != 0 ? 1 : 0];
  const int64_t k = a.dims[trans_a != 0 ? 0 : 1];
  const int64_t n = b.dims[trans_b != 0 ? 0 : 1];
  if (c != nullptr) {
    RETURN_IF_ERROR(ExpectSameDType(a, *c));
    ASSIGN_OR_RETURN(const std::vector<int64_t> joint, BroadcastDims(c->dims, {m, n}));
    if (joint != std::vector<int64_t>{m, n}) {
      return UserError("C of shape ", DimsToString(c->dims), " does not broadcast to ", DimsToString({m, n}));
    }
  }
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(a.dtype, {m, n}));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  const Matrix a_layout = trans_a != 0 ? Matrix{1, m} : Matrix{k, 1};
  const Matrix b_layout = trans_b != 0 ? Matrix{1, k} : Matrix{n, 1};
  Multiply(a.floats.data(), a_layout, b.floats.data(), b_layout, y.floats.data(), m, n, k);
  for (double& value : y.floats) {
    value *= alpha;
  }
  if (c != nullptr) {
    size_t next = 0;
    ForEachIndex<1>(y.dims, {BroadcastStrides(c->dims, y.dims)},
                    [&](const std::array<int64_t, 1>& at) { y.floats[next++] += beta * c->floats[at[0]]; });
  }
  return call.Rounded(std::move(y));
}

}  // namespace dejavu::onnx_eval
