// ONNX operators about shapes: asking for them, changing them, and making tensors from them.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "ir/interp/OnnxEvalOps.h"

namespace dejavu::onnx_eval {
namespace {

/// `data` with the shape `dims`, which must have as many elements.
Results WithShape(const Tensor& data, std::vector<int64_t> dims) {
  ASSIGN_OR_RETURN(const int64_t count, CheckedNumElements(dims));
  if (count != data.NumElements()) {
    return UserError("a tensor of shape ", DimsToString(data.dims), " cannot take the shape ", DimsToString(dims));
  }
  Tensor result = data;
  result.dims = std::move(dims);
  return Single(std::move(result));
}

/// The axes of Squeeze and Unsqueeze, from the attribute before opset 13 and from the second input since; not
/// normalised.
absl::StatusOr<std::optional<std::vector<int64_t>>> Axes(const Call& call) {
  return call.opset < 13 ? call.Ints("axes") : call.IntsInput(1, "axes");
}

/// Whether each of `rank` dimensions is among `axes`, which must not repeat.
absl::StatusOr<std::vector<bool>> AxesMask(absl::Span<const int64_t> axes, int64_t rank) {
  std::vector<bool> mask(rank, false);
  for (const int64_t axis : axes) {
    ASSIGN_OR_RETURN(const int64_t normal, NormalizeAxis(axis, rank));
    if (mask[normal]) {
      return UserError("axis ", axis, " is given twice");
    }
    mask[normal] = true;
  }
  return mask;
}

/// A copy of `data` read with `strides` (one per dimension of `dims`).
Results StridedCopy(const Call& call, const Tensor& data, std::vector<int64_t> dims, std::vector<int64_t> strides) {
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, std::move(dims)));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  WithElements(data, result, [&](const auto& in, auto& out) {
    int64_t next = 0;
    ForEachIndex<1>(result.dims, {std::move(strides)},
                    [&](const std::array<int64_t, 1>& at) { out[next++] = in[at[0]]; });
  });
  return Single(std::move(result));
}

/// How many elements Range has: ceil((limit - start) / delta), at least 0.
template <typename T>
absl::StatusOr<int64_t> RangeLength(const Call& call, T start, T limit, T delta) {
  if (delta == 0) {
    return UserError("delta must not be 0");
  }
  const double length =
      std::ceil((static_cast<double>(limit) - static_cast<double>(start)) / static_cast<double>(delta));
  if (!(length <= static_cast<double>(call.options.max_elements))) {
    return UserError("a range from ", start, " to ", limit, " in steps of ", delta, " is too long");
  }
  return static_cast<int64_t>(std::max(length, 0.0));
}

template <typename T>
absl::Status FillRange(const Call& call, T start, T limit, T delta, Tensor& result, std::vector<T>& elements) {
  ASSIGN_OR_RETURN(const int64_t length, RangeLength(call, start, limit, delta));
  result.dims = {length};
  elements.resize(length);
  for (int64_t i = 0; i < length; ++i) {
    if constexpr (std::is_same_v<T, double>) {
      elements[i] = start + static_cast<double>(i) * delta;
    } else {
      // The sum lies between start and limit, but the product alone may not fit.
      elements[i] =
          static_cast<T>(static_cast<uint64_t>(start) + static_cast<uint64_t>(i) * static_cast<uint64_t>(delta));
    }
  }
  return absl::OkStatus();
}

}  // namespace

Results EvalShape(const Call& call) {
  const std::vector<int64_t>& dims = call.input(0).dims;
  const auto rank = static_cast<int64_t>(dims.size());
  ASSIGN_OR_RETURN(int64_t start, call.Int("start", 0));
  ASSIGN_OR_RETURN(int64_t end, call.Int("end", rank));
  start = std::clamp<int64_t>(start < 0 ? start + rank : start, 0, rank);
  end = std::clamp<int64_t>(end < 0 ? end + rank : end, start, rank);
  return Single(Tensor::Vector({dims.begin() + start, dims.begin() + end}));
}

Results EvalSize(const Call& call) { return Single(Tensor::Scalar(call.input(0).NumElements())); }

Results EvalReshape(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const std::vector<int64_t> shape, call.RequiredInts(1, "shape"));
  ASSIGN_OR_RETURN(const int64_t allowzero, call.Int("allowzero", 0));
  std::vector<int64_t> dims = shape;
  std::optional<size_t> inferred;
  int64_t rest = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 0 && allowzero == 0) {
      if (i >= data.dims.size()) {
        return UserError("dimension ", i, " of the shape ", DimsToString(dims), " copies one that the input ",
                         DimsToString(data.dims), " does not have");
      }
      dims[i] = data.dims[i];
    }
    if (dims[i] == -1 && inferred) {
      return UserError("the shape ", DimsToString(dims), " has -1 more than once");
    }
    if (dims[i] == -1) {
      inferred = i;
    } else if (dims[i] < 0 || dims[i] > kMaxElements || (rest *= dims[i]) > kMaxElements) {
      return UserError("the shape ", DimsToString(shape), " has a dimension below -1 or too many elements");
    }
  }
  if (inferred) {
    if (rest == 0) {
      return UserError("the -1 in the shape ", DimsToString(dims), " stands beside a 0, so it could be any number");
    }
    dims[*inferred] = data.NumElements() / rest;
  }
  return WithShape(data, std::move(dims));
}

Results EvalFlatten(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(int64_t axis, call.Int("axis", 1));
  if (axis < -data.rank() || axis > data.rank()) {
    return UserError("axis ", axis, " is out of range for a tensor of rank ", data.rank());
  }
  axis = axis < 0 ? axis + data.rank() : axis;
  std::vector<int64_t> dims = {1, 1};
  for (int64_t i = 0; i < data.rank(); ++i) {
    dims[i < axis ? 0 : 1] *= data.dims[i];
  }
  return WithShape(data, std::move(dims));
}

Results EvalSqueeze(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const auto axes, Axes(call));
  std::vector<bool> mask(data.dims.size());
  if (axes) {
    ASSIGN_OR_RETURN(mask, AxesMask(*axes, data.rank()));
  } else {
    std::transform(data.dims.begin(), data.dims.end(), mask.begin(), [](int64_t dim) { return dim == 1; });
  }
  std::vector<int64_t> dims;
  for (size_t i = 0; i < mask.size(); ++i) {
    if (!mask[i]) {
      dims.push_back(data.dims[i]);
    } else if (data.dims[i] != 1) {
      return UserError("dimension ", i, " of the shape ", DimsToString(data.dims),
                       " is not 1, so it cannot be squeezed");
    }
  }
  return WithShape(data, std::move(dims));
}

Results EvalUnsqueeze(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const auto axes, Axes(call));
  if (!axes) {
    return UserError("'axes' is required");
  }
  ASSIGN_OR_RETURN(const std::vector<bool> mask, AxesMask(*axes, data.rank() + static_cast<int64_t>(axes->size())));
  std::vector<int64_t> dims;
  size_t next = 0;
  for (const bool inserted : mask) {
    dims.push_back(inserted ? 1 : data.dims[next++]);
  }
  return WithShape(data, std::move(dims));
}

Results EvalTranspose(const Call& call) {
  const Tensor& data = call.input(0);
  std::vector<int64_t> reversed(data.dims.size());
  std::iota(reversed.rbegin(), reversed.rend(), 0);
  ASSIGN_OR_RETURN(const auto perm_attribute, call.Ints("perm"));
  const std::vector<int64_t> perm = perm_attribute.value_or(reversed);
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  if (!std::equal(sorted.begin(), sorted.end(), reversed.rbegin(), reversed.rend())) {
    return UserError("perm ", DimsToString(perm), " is not a permutation of the ", data.rank(), " dimensions");
  }
  const std::vector<int64_t> own = RowMajorStrides(data.dims);
  std::vector<int64_t> dims;
  std::vector<int64_t> strides;
  for (const int64_t from : perm) {
    dims.push_back(data.dims[from]);
    strides.push_back(own[from]);
  }
  return StridedCopy(call, data, std::move(dims), std::move(strides));
}

Results EvalExpand(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const std::vector<int64_t> shape, call.RequiredInts(1, "shape"));
  ASSIGN_OR_RETURN(std::vector<int64_t> dims, BroadcastDims(data.dims, shape));
  std::vector<int64_t> strides = BroadcastStrides(data.dims, dims);
  return StridedCopy(call, data, std::move(dims), std::move(strides));
}

Results EvalTile(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const std::vector<int64_t> repeats, call.RequiredInts(1, "repeats"));
  if (repeats.size() != data.dims.size()) {
    return UserError("'repeats' has ", repeats.size(), " entries for a tensor of rank ", data.rank());
  }
  // Each dimension is read as (repeat, dim), of which the first does not move.
  std::vector<int64_t> split_dims;
  std::vector<int64_t> split_strides;
  std::vector<int64_t> dims;
  const std::vector<int64_t> own = RowMajorStrides(data.dims);
  for (size_t i = 0; i < data.dims.size(); ++i) {
    const int64_t repeat = repeats[i];
    if (repeat < 0 || repeat > kMaxElements) {
      return UserError("cannot repeat a dimension ", repeat, " times");
    }
    split_dims.insert(split_dims.end(), {repeat, data.dims[i]});
    split_strides.insert(split_strides.end(), {0, own[i]});
    dims.push_back(data.dims[i] * repeat);
  }
  RETURN_IF_ERROR(CheckedNumElements(split_dims).status());
  ASSIGN_OR_RETURN(std::vector<Tensor> tiled, StridedCopy(call, data, std::move(split_dims), std::move(split_strides)));
  tiled[0].dims = std::move(dims);
  return tiled;
}

Results EvalConstant(const Call& call) {
  const auto it = call.attributes.find("value");
  if (it == call.attributes.end() || !std::holds_alternative<TensorLiteral>(it->second)) {
    return UserError("attribute 'value' must be a tensor");
  }
  return Single(Tensor::FromLiteral(std::get<TensorLiteral>(it->second)));
}

Results EvalConstantOfShape(const Call& call) {
  ASSIGN_OR_RETURN(const std::vector<int64_t> shape, call.RequiredInts(0, "shape"));
  Tensor value = *Tensor::Zeros(DType::kF32, {1});
  if (call.attributes.find("value") != call.attributes.end()) {
    ASSIGN_OR_RETURN(std::vector<Tensor> constant, EvalConstant(call));
    value = std::move(constant[0]);
  }
  if (value.NumElements() != 1) {
    return UserError("attribute 'value' must have one element");
  }
  ASSIGN_OR_RETURN(Tensor result, call.Zeros(value.dtype, shape));
  WithElements(value, result, [](const auto& in, auto& out) { std::fill(out.begin(), out.end(), in[0]); });
  return Single(std::move(result));
}

Results EvalRange(const Call& call) {
  const Tensor& start = call.input(0);
  for (size_t i = 0; i < 3; ++i) {
    RETURN_IF_ERROR(ExpectSameDType(start, call.input(i)));
    if (!call.input(i).known) {
      return UserError("the result's shape depends on inputs that are computed from weights or data");
    }
    if (call.input(i).NumElements() != 1) {
      return UserError("start, limit and delta must be scalars");
    }
  }
  Tensor result;
  result.dtype = start.dtype;
  if (IsFloat(start.dtype)) {
    RETURN_IF_ERROR(
        FillRange(call, start.floats[0], call.input(1).floats[0], call.input(2).floats[0], result, result.floats));
  } else {
    RETURN_IF_ERROR(FillRange(call, start.ints[0], call.input(1).ints[0], call.input(2).ints[0], result, result.ints));
  }
  return call.Rounded(std::move(result));
}

}  // namespace dejavu::onnx_eval
