// Tensors of the interpreter: a shape, and the contents where they are known.
#ifndef DEJAVU_IR_INTERP_TENSOR_H_
#define DEJAVU_IR_INTERP_TENSOR_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "ir/base/DType.h"
#include "ir/base/Status.h"
#include "ir/core/Attribute.h"

namespace dejavu {

/// A shape has at most this many elements, so that element numbers and byte counts never overflow.
inline constexpr int64_t kMaxElements = int64_t{1} << 31;
/// A tensor whose contents are held in memory has at most this many elements (2 GiB as doubles).
inline constexpr int64_t kMaxKnownElements = int64_t{1} << 28;

/// A dense row-major tensor. While `known` is false only `dtype` and `dims` mean something and both element vectors are
/// empty: the interpreter then computes shapes. A tensor without elements is always known.
/// Elements of a float dtype are in `floats`, those of an integer or bool dtype (false 0, true 1) in `ints`.
struct Tensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> dims;
  bool known = true;
  std::vector<double> floats;
  std::vector<int64_t> ints;

  /// A tensor of which only the type is known.
  [[nodiscard]] static Tensor Unknown(DType dtype, std::vector<int64_t> dims);
  /// A tensor of zeros; an error if it has more than kMaxKnownElements elements or a negative dimension.
  [[nodiscard]] static absl::StatusOr<Tensor> Zeros(DType dtype, std::vector<int64_t> dims);
  [[nodiscard]] static Tensor FromLiteral(const TensorLiteral& literal);
  /// A rank-0 or rank-1 i64 tensor, as shapes and axes are.
  [[nodiscard]] static Tensor Scalar(int64_t value);
  [[nodiscard]] static Tensor Vector(std::vector<int64_t> values);

  /// Only for a known tensor.
  [[nodiscard]] TensorLiteral ToLiteral() const;
  [[nodiscard]] int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  [[nodiscard]] int64_t NumElements() const;
  /// Element `index` of a known tensor of any dtype.
  [[nodiscard]] double At(int64_t index) const;
};

/// The product of `dims`; an error if a dimension is negative or the product exceeds kMaxElements.
[[nodiscard]] absl::StatusOr<int64_t> CheckedNumElements(absl::Span<const int64_t> dims);

/// Elements from one index of a dimension to the next, for each dimension of a row-major tensor.
[[nodiscard]] std::vector<int64_t> RowMajorStrides(absl::Span<const int64_t> dims);

/// The shape that numpy's broadcasting gives to operands of shapes `a` and `b`.
[[nodiscard]] absl::StatusOr<std::vector<int64_t>> BroadcastDims(absl::Span<const int64_t> a,
                                                                 absl::Span<const int64_t> b);

/// Strides with which a row-major tensor of shape `dims` is read as one of shape `target`: 0 where it is repeated.
/// `dims` must broadcast to `target`.
[[nodiscard]] std::vector<int64_t> BroadcastStrides(absl::Span<const int64_t> dims, absl::Span<const int64_t> target);

/// `axis` counted from the end if negative; an error unless it is in [-rank, rank).
[[nodiscard]] absl::StatusOr<int64_t> NormalizeAxis(int64_t axis, int64_t rank);

/// The value nearest to `value` that `dtype` can hold; `value` itself for f64 and for dtypes that are not floats.
[[nodiscard]] double RoundToDType(double value, DType dtype);

/// `value` modulo 2^bits in the range of the integer `dtype`; for bool, whether it is not zero.
[[nodiscard]] int64_t WrapToDType(int64_t value, DType dtype);

/// "[2, 3]"
[[nodiscard]] std::string DimsToString(absl::Span<const int64_t> dims);

/// Visits every index of the shape `dims` in row-major order and calls `visit` with an array of N offsets, where offset
/// k moves by `strides[k][d]` per step of dimension d and starts at 0. The offsets change in place: copy what must
/// last.
template <size_t N, typename Visit>
void ForEachIndex(absl::Span<const int64_t> dims, const std::array<std::vector<int64_t>, N>& strides, Visit visit) {
  for (const int64_t dim : dims) {
    if (dim == 0) {
      return;
    }
  }
  const int64_t rank = static_cast<int64_t>(dims.size());
  std::vector<int64_t> index(dims.size(), 0);
  std::array<int64_t, N> offsets{};
  while (true) {
    visit(offsets);
    int64_t d = rank - 1;
    for (; d >= 0; --d) {
      if (++index[d] < dims[d]) {
        break;
      }
      for (size_t k = 0; k < N; ++k) {
        offsets[k] -= strides[k][d] * (dims[d] - 1);
      }
      index[d] = 0;
    }
    if (d < 0) {
      return;
    }
    for (size_t k = 0; k < N; ++k) {
      offsets[k] += strides[k][d];
    }
  }
}

/// Calls `fn(elements of in, elements of out)` with the vectors that hold the elements of both; the two tensors must be
/// both of float or both of integer dtypes.
template <typename Fn>
void WithElements(const Tensor& in, Tensor& out, Fn fn) {
  if (IsFloat(in.dtype)) {
    fn(in.floats, out.floats);
  } else {
    fn(in.ints, out.ints);
  }
}

}  // namespace dejavu

#endif  // DEJAVU_IR_INTERP_TENSOR_H_
