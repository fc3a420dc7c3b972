// ONNX operators that read or write elements at indices that are themselves a tensor.
#include <algorithm>

#include "ir/interp/OnnxEvalOps.h"

namespace dejavu::onnx_eval {
namespace {

int64_t Product(absl::Span<const int64_t> dims) {
  int64_t product = 1;
  for (const int64_t dim : dims) {
    product *= dim;
  }
  return product;
}

absl::Status ExpectIndices(const Tensor& indices) {
  if (indices.dtype != DType::kI64 && indices.dtype != DType::kI32) {
    return UserError("indices must be i64 or i32");
  }
  return absl::OkStatus();
}

/// `index` counted from the end if negative; an error unless it is in [-dim, dim).
absl::StatusOr<int64_t> NormalizeIndex(int64_t index, int64_t dim) {
  if (index < -dim || index >= dim) {
    return UserError("index ", index, " is out of range for a dimension of ", dim);
  }
  return index < 0 ? index + dim : index;
}

/// Element offsets, in a tensor of shape `dims`, of the slices that the rows of `indices` name: each row is its last
/// dimension and indexes the dimensions of `dims` from `batch_dims` on; the first `batch_dims` follow the row's own.
absl::StatusOr<std::vector<int64_t>> SliceOffsets(absl::Span<const int64_t> dims, const Tensor& indices,
                                                  int64_t batch_dims) {
  const std::vector<int64_t> strides = RowMajorStrides(dims);
  const int64_t width = indices.dims.back();
  const int64_t rows = Product(absl::MakeSpan(indices.dims).first(indices.dims.size() - 1));
  const int64_t batches = Product(dims.first(batch_dims));
  const int64_t batch_stride = batch_dims > 0 ? strides[batch_dims - 1] : 0;
  std::vector<int64_t> offsets(rows);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t offset = batch_dims > 0 ? row / (rows / batches) * batch_stride : 0;
    for (int64_t i = 0; i < width; ++i) {
      ASSIGN_OR_RETURN(const int64_t at, NormalizeIndex(indices.ints[row * width + i], dims[batch_dims + i]));
      offset += at * strides[batch_dims + i];
    }
    offsets[row] = offset;
  }
  return offsets;
}

/// How ScatterND combines an element with its update.
enum class Reduction { kNone, kAdd, kMul, kMax, kMin };

absl::StatusOr<Reduction> ParseReduction(const Call& call) {
  static constexpr std::array<std::pair<std::string_view, Reduction>, 5> kNames = {{{"none", Reduction::kNone},
                                                                                    {"add", Reduction::kAdd},
                                                                                    {"mul", Reduction::kMul},
                                                                                    {"max", Reduction::kMax},
                                                                                    {"min", Reduction::kMin}}};
  ASSIGN_OR_RETURN(const std::string name, call.String("reduction", "none"));
  for (const auto& [known, reduction] : kNames) {
    if (known == name) {
      return reduction;
    }
  }
  return UserError("reduction '", name, "' must be none, add, mul, max or min");
}

double Reduce(Reduction reduction, double old_value, double update) {
  switch (reduction) {
    case Reduction::kNone:
      return update;
    case Reduction::kAdd:
      return old_value + update;
    case Reduction::kMul:
      return old_value * update;
    case Reduction::kMax:
      return std::max(old_value, update);
    case Reduction::kMin:
      return std::min(old_value, update);
  }
  return update;
}

int64_t Reduce(Reduction reduction, int64_t old_value, int64_t update) {
  switch (reduction) {
    case Reduction::kNone:
      return update;
    case Reduction::kAdd:
      return static_cast<int64_t>(static_cast<uint64_t>(old_value) + static_cast<uint64_t>(update));
    case Reduction::kMul:
      return static_cast<int64_t>(static_cast<uint64_t>(old_value) * static_cast<uint64_t>(update));
    case Reduction::kMax:
      return std::max(old_value, update);
    case Reduction::kMin:
      return std::min(old_value, update);
  }
  return update;
}

}  // namespace

Results EvalGather(const Call& call) {
  const Tensor& data = call.input(0);
  const Tensor& indices = call.input(1);
  RETURN_IF_ERROR(ExpectIndices(indices));
  ASSIGN_OR_RETURN(const int64_t raw_axis, call.Int("axis", 0));
  ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(raw_axis, data.rank()));
  std::vector<int64_t> dims(data.dims.begin(), data.dims.begin() + axis);
  dims.insert(dims.end(), indices.dims.begin(), indices.dims.end());
  dims.insert(dims.end(), data.dims.begin() + axis + 1, data.dims.end());
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, std::move(dims)));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  const int64_t dim = data.dims[axis];
  const int64_t outer = Product(absl::MakeSpan(data.dims).first(axis));
  const int64_t inner = Product(absl::MakeSpan(data.dims).subspan(axis + 1));
  int64_t next = 0;
  for (int64_t i = 0; i < outer; ++i) {
    for (const int64_t index : indices.ints) {
      ASSIGN_OR_RETURN(const int64_t at, NormalizeIndex(index, dim));
      WithElements(data, result, [&](const auto& in, auto& out) {
        std::copy_n(in.begin() + (i * dim + at) * inner, inner, out.begin() + next);
      });
      next += inner;
    }
  }
  return Single(std::move(result));
}

Results EvalGatherElements(const Call& call) {
  const Tensor& data = call.input(0);
  const Tensor& indices = call.input(1);
  RETURN_IF_ERROR(ExpectIndices(indices));
  ASSIGN_OR_RETURN(const int64_t raw_axis, call.Int("axis", 0));
  ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(raw_axis, data.rank()));
  for (int64_t i = 0; i < std::max(data.rank(), indices.rank()); ++i) {
    if (data.rank() != indices.rank() || (i != axis && indices.dims[i] > data.dims[i])) {
      return UserError("indices of shape ", DimsToString(indices.dims), " do not fit data of shape ",
                       DimsToString(data.dims));
    }
  }
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, indices.dims));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  std::vector<int64_t> strides = RowMajorStrides(data.dims);
  const int64_t axis_stride = std::exchange(strides[axis], 0);
  absl::Status status;
  size_t next = 0;
  ForEachIndex<1>(indices.dims, {strides}, [&](const std::array<int64_t, 1>& offset) {
    const absl::StatusOr<int64_t> at = NormalizeIndex(indices.ints[next], data.dims[axis]);
    status.Update(at.status());
    if (at.ok()) {
      WithElements(data, result, [&](const auto& in, auto& out) { out[next] = in[offset[0] + *at * axis_stride]; });
    }
    ++next;
  });
  RETURN_IF_ERROR(status);
  return Single(std::move(result));
}

Results EvalGatherND(const Call& call) {
  const Tensor& data = call.input(0);
  const Tensor& indices = call.input(1);
  RETURN_IF_ERROR(ExpectIndices(indices));
  ASSIGN_OR_RETURN(const int64_t batch_dims, call.Int("batch_dims", 0));
  const int64_t width = indices.rank() > 0 ? indices.dims.back() : -1;
  if (batch_dims < 0 || batch_dims >= std::min(data.rank(), indices.rank()) || width < 1 ||
      width > data.rank() - batch_dims ||
      !std::equal(data.dims.begin(), data.dims.begin() + batch_dims, indices.dims.begin())) {
    return UserError("indices of shape ", DimsToString(indices.dims), " do not fit data of shape ",
                     DimsToString(data.dims), " with batch_dims = ", batch_dims);
  }
  std::vector<int64_t> dims(indices.dims.begin(), indices.dims.end() - 1);
  dims.insert(dims.end(), data.dims.begin() + batch_dims + width, data.dims.end());
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, std::move(dims)));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t> offsets, SliceOffsets(data.dims, indices, batch_dims));
  const int64_t inner = Product(absl::MakeSpan(data.dims).subspan(batch_dims + width));
  WithElements(data, result, [&](const auto& in, auto& out) {
    for (size_t i = 0; i < offsets.size(); ++i) {
      std::copy_n(in.begin() + offsets[i], inner, out.begin() + static_cast<int64_t>(i) * inner);
    }
  });
  return Single(std::move(result));
}

Results EvalScatterND(const Call& call) {
  const Tensor& data = call.input(0);
  const Tensor& indices = call.input(1);
  const Tensor& updates = call.input(2);
  RETURN_IF_ERROR(ExpectDType(indices, DType::kI64, "indices"));
  RETURN_IF_ERROR(ExpectSameDType(data, updates));
  ASSIGN_OR_RETURN(const Reduction reduction, ParseReduction(call));
  const int64_t width = indices.rank() > 0 ? indices.dims.back() : -1;
  if (width < 1 || width > data.rank()) {
    return UserError("indices of shape ", DimsToString(indices.dims), " do not fit data of shape ",
                     DimsToString(data.dims));
  }
  std::vector<int64_t> expected(indices.dims.begin(), indices.dims.end() - 1);
  expected.insert(expected.end(), data.dims.begin() + width, data.dims.end());
  if (updates.dims != expected) {
    return UserError("updates must have shape ", DimsToString(expected), ", but have ", DimsToString(updates.dims));
  }
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, data.dims));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t> offsets, SliceOffsets(data.dims, indices, 0));
  const int64_t inner = Product(absl::MakeSpan(data.dims).subspan(width));
  result = data;
  WithElements(updates, result, [&](const auto& in, auto& out) {
    for (size_t i = 0; i < offsets.size(); ++i) {
      for (int64_t j = 0; j < inner; ++j) {
        auto& element = out[offsets[i] + j];
        element = Reduce(reduction, element, in[static_cast<int64_t>(i) * inner + j]);
      }
    }
  });
  for (int64_t& value : result.ints) {
    value = WrapToDType(value, result.dtype);
  }
  return call.Rounded(std::move(result));
}

}  // namespace dejavu::onnx_eval
