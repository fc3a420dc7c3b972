// ONNX operators that normalise: Softmax and LayerNormalization. Both compute in double and round once.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/interp/OnnxEvalOps.h"

namespace dejavu::onnx_eval {
namespace {

/// Softmax of `count` elements from `in` to `out`, both `stride` apart. A line of -inf gives NaN, as the formula does.
void SoftmaxLine(const double* in, double* out, int64_t count, int64_t stride) {
  double highest = -std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i < count; ++i) {
    highest = std::max(highest, in[i * stride]);
  }
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    out[i * stride] = std::exp(in[i * stride] - highest);
    sum += out[i * stride];
  }
  for (int64_t i = 0; i < count; ++i) {
    out[i * stride] /= sum;
  }
}

/// The optional scale or bias of LayerNormalization, one number per normalised element or broadcast to that.
absl::StatusOr<std::vector<double>> PerElement(const Tensor& vector, absl::Span<const int64_t> dims, int64_t count) {
  if (vector.dims.size() > dims.size()) {
    return UserError("scale or bias of shape ", DimsToString(vector.dims), " does not fit ", DimsToString(dims));
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t> joint, BroadcastDims(vector.dims, dims));
  if (joint != std::vector<int64_t>(dims.begin(), dims.end())) {
    return UserError("scale or bias of shape ", DimsToString(vector.dims), " does not fit ", DimsToString(dims));
  }
  std::vector<double> values;
  values.reserve(vector.known ? count : 0);
  if (vector.known) {
    ForEachIndex<1>(dims, {BroadcastStrides(vector.dims, dims)},
                    [&](const std::array<int64_t, 1>& at) { values.push_back(vector.floats[at[0]]); });
  }
  return values;
}

}  // namespace

/// Since opset 13 along `axis`; before, over all dimensions from `axis` on.
Results EvalSoftmax(const Call& call) {
  const Tensor& x = call.input(0);
  RETURN_IF_ERROR(ExpectFloat(x));
  ASSIGN_OR_RETURN(const int64_t raw_axis, call.Int("axis", call.opset < 13 ? 1 : -1));
  ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(raw_axis, x.rank()));
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(x.dtype, x.dims));
  if (IsDone(y)) {
    return Single(std::move(y));
  }
  const int64_t after = RowMajorStrides(x.dims)[axis];
  const int64_t inner = call.opset < 13 ? 1 : after;
  const int64_t count = call.opset < 13 ? after * x.dims[axis] : x.dims[axis];
  const int64_t lines = x.NumElements() / count;
  for (int64_t line = 0; line < lines; ++line) {
    const int64_t base = line / inner * count * inner + line % inner;
    SoftmaxLine(x.floats.data() + base, y.floats.data() + base, count, inner);
  }
  return call.Rounded(std::move(y));
}

/// y = (x - mean) / sqrt(variance + epsilon) * scale + bias over the dimensions from `axis` on; also mean and 1 /
/// sqrt(...).
Results EvalLayerNormalization(const Call& call) {
  const Tensor& x = call.input(0);
  const Tensor* bias_input = call.optional(2);
  RETURN_IF_ERROR(ExpectFloat(x));
  RETURN_IF_ERROR(ExpectSameDType(x, call.input(1)));
  ASSIGN_OR_RETURN(const int64_t raw_axis, call.Int("axis", -1));
  ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(raw_axis, x.rank()));
  ASSIGN_OR_RETURN(const double epsilon, call.Float("epsilon", static_cast<double>(1e-5F)));
  const auto normalized = absl::MakeSpan(x.dims).subspan(axis);
  int64_t count = 1;
  std::vector<int64_t> stat_dims(x.dims.begin(), x.dims.begin() + axis);
  for (const int64_t dim : normalized) {
    count *= dim;
    stat_dims.push_back(1);
  }
  ASSIGN_OR_RETURN(const std::vector<double> scale, PerElement(call.input(1), normalized, count));
  std::vector<double> bias(scale.size(), 0);
  if (bias_input != nullptr) {
    RETURN_IF_ERROR(ExpectSameDType(x, *bias_input));
    ASSIGN_OR_RETURN(bias, PerElement(*bias_input, normalized, count));
  }
  ASSIGN_OR_RETURN(Tensor y, call.NewResult(x.dtype, x.dims));
  ASSIGN_OR_RETURN(Tensor mean, call.NewResult(DType::kF32, stat_dims));
  ASSIGN_OR_RETURN(Tensor inverse, call.NewResult(DType::kF32, stat_dims));
  if (!IsDone(y)) {
    for (size_t row = 0; row < mean.floats.size(); ++row) {
      const double* in = x.floats.data() + static_cast<int64_t>(row) * count;
      double* out = y.floats.data() + static_cast<int64_t>(row) * count;
      double sum = 0;
      for (int64_t i = 0; i < count; ++i) {
        sum += in[i];
      }
      mean.floats[row] = sum / static_cast<double>(count);
      double squares = 0;
      for (int64_t i = 0; i < count; ++i) {
        squares += (in[i] - mean.floats[row]) * (in[i] - mean.floats[row]);
      }
      inverse.floats[row] = 1 / std::sqrt(squares / static_cast<double>(count) + epsilon);
      for (int64_t i = 0; i < count; ++i) {
        out[i] = (in[i] - mean.floats[row]) * inverse.floats[row] * scale[i] + bias[i];
      }
    }
  }
  std::vector<Tensor> results;
  for (Tensor* tensor : {&y, &mean, &inverse}) {
    ASSIGN_OR_RETURN(std::vector<Tensor> rounded, call.Rounded(std::move(*tensor)));
    results.push_back(std::move(rounded[0]));
  }
  return results;
}

}  // namespace dejavu::onnx_eval
