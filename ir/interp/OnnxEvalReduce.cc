// ONNX operators that run along dimensions: reductions and running sums.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/interp/OnnxEvalOps.h"

namespace dejavu::onnx_eval {
namespace {

/// Which dimensions a Reduce* node reduces; nothing if it only passes its input on.
absl::StatusOr<std::optional<std::vector<bool>>> ReducedDims(const Call& call, int axes_input_since) {
  const int64_t rank = call.input(0).rank();
  ASSIGN_OR_RETURN(const auto axes, call.opset < axes_input_since ? call.Ints("axes") : call.IntsInput(1, "axes"));
  ASSIGN_OR_RETURN(const int64_t noop, call.Int("noop_with_empty_axes", 0));
  if (!axes || axes->empty()) {
    return noop != 0 ? std::nullopt : std::optional(std::vector<bool>(rank, true));
  }
  std::vector<bool> reduced(rank, false);
  for (const int64_t axis : *axes) {
    ASSIGN_OR_RETURN(const int64_t normal, NormalizeAxis(axis, rank));
    reduced[normal] = true;
  }
  return std::optional(reduced);
}

/// Folds `data` into `result`, where the element of `result` at stride 0 along reduced dimensions starts as `start`.
template <typename T, typename Fold>
void FoldInto(const Tensor& data, const std::vector<T>& in, const std::vector<int64_t>& result_strides,
              std::vector<T>& out, T start, Fold fold) {
  std::fill(out.begin(), out.end(), start);
  size_t next = 0;
  ForEachIndex<1>(data.dims, {result_strides},
                  [&](const std::array<int64_t, 1>& at) { out[at[0]] = fold(out[at[0]], in[next++]); });
}

/// A reduction: `start` and `fold` for floats and for integers, then `finish(sum, count)`.
struct Reducer {
  double start;
  double (*fold)(double, double);
  int64_t int_start;
  int64_t (*int_fold)(int64_t, int64_t);
  bool mean = false;
};

Results Reduce(const Call& call, int axes_input_since, const Reducer& reducer) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const auto reduced, ReducedDims(call, axes_input_since));
  ASSIGN_OR_RETURN(const int64_t keepdims, call.Int("keepdims", 1));
  if (!reduced) {
    return Single(data);
  }
  std::vector<int64_t> kept_dims = data.dims;
  std::vector<int64_t> dims;
  int64_t count = 1;
  for (size_t i = 0; i < data.dims.size(); ++i) {
    if ((*reduced)[i]) {
      count *= data.dims[i];
      kept_dims[i] = 1;
    }
    if (!(*reduced)[i] || keepdims != 0) {
      dims.push_back(kept_dims[i]);
    }
  }
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, std::move(dims)));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  std::vector<int64_t> strides = RowMajorStrides(kept_dims);
  for (size_t i = 0; i < strides.size(); ++i) {
    strides[i] = (*reduced)[i] ? 0 : strides[i];
  }
  if (IsFloat(data.dtype)) {
    FoldInto(data, data.floats, strides, result.floats, reducer.start, reducer.fold);
  } else {
    FoldInto(data, data.ints, strides, result.ints, reducer.int_start, reducer.int_fold);
  }
  if (reducer.mean && count == 0 && !IsFloat(data.dtype)) {
    return UserError("cannot take the mean of no integers");
  }
  for (double& value : result.floats) {
    value = reducer.mean ? value / static_cast<double>(count) : value;
  }
  for (int64_t& value : result.ints) {
    value = WrapToDType(reducer.mean ? value / count : value, data.dtype);
  }
  return call.Rounded(std::move(result));
}

int64_t AddWrapping(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kLowest = std::numeric_limits<int64_t>::min();
constexpr int64_t kHighest = std::numeric_limits<int64_t>::max();

}  // namespace

// ReduceSum takes its axes as an input since opset 13, the others since opset 18.

Results EvalReduceSum(const Call& call) {
  return Reduce(call, 13, {0, [](double a, double b) { return a + b; }, 0, AddWrapping});
}

Results EvalReduceMean(const Call& call) {
  return Reduce(call, 18, {0, [](double a, double b) { return a + b; }, 0, AddWrapping, /*mean=*/true});
}

Results EvalReduceProd(const Call& call) {
  return Reduce(
      call, 18,
      {1, [](double a, double b) { return a * b; }, 1,
       [](int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b)); }});
}

Results EvalReduceMax(const Call& call) {
  return Reduce(call, 18,
                {-kInfinity, [](double a, double b) { return std::isnan(b) || b > a ? b : a; }, kLowest,
                 [](int64_t a, int64_t b) { return std::max(a, b); }});
}

Results EvalReduceMin(const Call& call) {
  return Reduce(call, 18,
                {kInfinity, [](double a, double b) { return std::isnan(b) || b < a ? b : a; }, kHighest,
                 [](int64_t a, int64_t b) { return std::min(a, b); }});
}

/// Running sums along one dimension, from the end with `reverse`; with `exclusive` each leaves its own element out.
Results EvalCumSum(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const int64_t exclusive, call.Int("exclusive", 0));
  ASSIGN_OR_RETURN(const int64_t reverse, call.Int("reverse", 0));
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, data.dims));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t> axis_input, call.RequiredInts(1, "axis"));
  if (axis_input.size() != 1) {
    return UserError("'axis' must be a scalar");
  }
  ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(axis_input.front(), data.rank()));
  const int64_t dim = data.dims[axis];
  const int64_t inner = RowMajorStrides(data.dims)[axis];
  const int64_t outer = data.NumElements() / (dim * inner);
  WithElements(data, result, [&](const auto& in, auto& out) {
    using Element = std::decay_t<decltype(in[0])>;
    for (int64_t line = 0; line < outer * inner; ++line) {
      const int64_t base = line / inner * dim * inner + line % inner;
      Element sum = 0;
      for (int64_t i = 0; i < dim; ++i) {
        const int64_t at = base + (reverse != 0 ? dim - 1 - i : i) * inner;
        const Element before = sum;
        if constexpr (std::is_same_v<Element, int64_t>) {
          sum = WrapToDType(AddWrapping(sum, in[at]), data.dtype);
        } else {
          sum += in[at];
        }
        out[at] = exclusive != 0 ? before : sum;
      }
    }
  });
  return call.Rounded(std::move(result));
}

}  // namespace dejavu::onnx_eval
