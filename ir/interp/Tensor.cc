#include "ir/interp/Tensor.h"

#include <algorithm>

#include "absl/strings/str_join.h"

namespace dejavu {

Tensor Tensor::Unknown(DType dtype, std::vector<int64_t> dims) {
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.known = std::find(dims.begin(), dims.end(), 0) != dims.end();
  tensor.dims = std::move(dims);
  return tensor;
}

absl::StatusOr<Tensor> Tensor::Zeros(DType dtype, std::vector<int64_t> dims) {
  ASSIGN_OR_RETURN(const int64_t count, CheckedNumElements(dims));
  if (count > kMaxKnownElements) {
    return UserError("a tensor of shape ", DimsToString(dims), " has more than ", kMaxKnownElements,
                     " elements, the most that the interpreter computes");
  }
  Tensor tensor;
  tensor.dtype = dtype;
  tensor.dims = std::move(dims);
  if (IsFloat(dtype)) {
    tensor.floats.resize(count);
  } else {
    tensor.ints.resize(count);
  }
  return tensor;
}

Tensor Tensor::FromLiteral(const TensorLiteral& literal) {
  Tensor tensor;
  tensor.dtype = literal.dtype;
  tensor.dims = literal.dims;
  tensor.floats = literal.floats;
  tensor.ints = literal.ints;
  return tensor;
}

Tensor Tensor::Scalar(int64_t value) {
  Tensor tensor;
  tensor.dtype = DType::kI64;
  tensor.ints = {value};
  return tensor;
}

Tensor Tensor::Vector(std::vector<int64_t> values) {
  Tensor tensor;
  tensor.dtype = DType::kI64;
  tensor.dims = {static_cast<int64_t>(values.size())};
  tensor.ints = std::move(values);
  return tensor;
}

TensorLiteral Tensor::ToLiteral() const { return TensorLiteral{dtype, dims, floats, ints}; }

int64_t Tensor::NumElements() const {
  int64_t count = 1;
  for (const int64_t dim : dims) {
    count *= dim;
  }
  return count;
}

double Tensor::At(int64_t index) const { return IsFloat(dtype) ? floats[index] : static_cast<double>(ints[index]); }

absl::StatusOr<int64_t> CheckedNumElements(absl::Span<const int64_t> dims) {
  int64_t count = 1;
  bool overflow = false;
  for (const int64_t dim : dims) {
    if (dim < 0) {
      return UserError("shape ", DimsToString(dims), " has a negative dimension");
    }
    // A later dimension of 0 makes the tensor empty, but its strides would still overflow, so it counts as 1 here.
    const int64_t factor = std::max<int64_t>(dim, 1);
    overflow = overflow || count > kMaxElements / factor;
    count = overflow ? count : count * factor;
  }
  if (overflow) {
    return UserError("shape ", DimsToString(dims), " has more than 2^31 elements");
  }
  return std::find(dims.begin(), dims.end(), 0) != dims.end() ? 0 : count;
}

std::vector<int64_t> RowMajorStrides(absl::Span<const int64_t> dims) {
  std::vector<int64_t> strides(dims.size());
  int64_t stride = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= dims[i];
  }
  return strides;
}

absl::StatusOr<std::vector<int64_t>> BroadcastDims(absl::Span<const int64_t> a, absl::Span<const int64_t> b) {
  std::vector<int64_t> dims(std::max(a.size(), b.size()));
  for (size_t i = 0; i < dims.size(); ++i) {
    // Shapes are aligned at their last dimension; a missing one counts as 1.
    const int64_t from_a = i + a.size() < dims.size() ? 1 : a[i + a.size() - dims.size()];
    const int64_t from_b = i + b.size() < dims.size() ? 1 : b[i + b.size() - dims.size()];
    if (from_a != from_b && from_a != 1 && from_b != 1) {
      return UserError("shapes ", DimsToString(a), " and ", DimsToString(b), " do not broadcast");
    }
    dims[i] = from_a == 1 ? from_b : from_a;
  }
  RETURN_IF_ERROR(CheckedNumElements(dims).status());
  return dims;
}

std::vector<int64_t> BroadcastStrides(absl::Span<const int64_t> dims, absl::Span<const int64_t> target) {
  const std::vector<int64_t> own = RowMajorStrides(dims);
  const size_t extra = target.size() - dims.size();
  std::vector<int64_t> strides(target.size(), 0);
  for (size_t i = 0; i < dims.size(); ++i) {
    strides[i + extra] = dims[i] == 1 ? 0 : own[i];
  }
  return strides;
}

absl::StatusOr<int64_t> NormalizeAxis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank) {
    return UserError("axis ", axis, " is out of range for a tensor of rank ", rank);
  }
  return axis < 0 ? axis + rank : axis;
}

double RoundToDType(double value, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<float>(value);
    case DType::kF16:
      return HalfToFloat(FloatToHalf(static_cast<float>(value)));
    case DType::kBF16:
      return BFloat16ToFloat(FloatToBFloat16(static_cast<float>(value)));
    default:
      return value;
  }
}

int64_t WrapToDType(int64_t value, DType dtype) {
  switch (dtype) {
    case DType::kI32:
    case DType::kIndex:
      return static_cast<int32_t>(value);
    case DType::kI16:
      return static_cast<int16_t>(value);
    case DType::kI8:
      return static_cast<int8_t>(value);
    case DType::kU8:
      return static_cast<uint8_t>(value);
    case DType::kBool:
      return value != 0 ? 1 : 0;
    default:
      return value;
  }
}

std::string DimsToString(absl::Span<const int64_t> dims) { return absl::StrCat("[", absl::StrJoin(dims, ", "), "]"); }

}  // namespace dejavu
