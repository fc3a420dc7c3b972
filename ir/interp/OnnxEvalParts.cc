// ONNX operators that join tensors or take parts of them by position: Concat, Split, Slice and Trilu.
#include <algorithm>
#include <limits>

#include "ir/interp/OnnxEvalOps.h"

namespace dejavu::onnx_eval {
namespace {

/// The product of dims[from..to).
int64_t Product(absl::Span<const int64_t> dims, int64_t from, int64_t to) {
  int64_t product = 1;
  for (int64_t i = from; i < to; ++i) {
    product *= dims[i];
  }
  return product;
}

/// Copies between `whole` and `part`, which is its indices [offset, offset + part dim) along `axis`.
template <typename Whole, typename Part, typename Copy>
void CopyAlongAxis(const Tensor& whole_shape, const Tensor& part_shape, int64_t axis, int64_t offset, Whole& whole,
                   Part& part, Copy copy) {
  const int64_t inner = Product(part_shape.dims, axis + 1, part_shape.rank());
  const int64_t outer = Product(part_shape.dims, 0, axis);
  const int64_t run = part_shape.dims[axis] * inner;
  const int64_t whole_run = whole_shape.dims[axis] * inner;
  for (int64_t i = 0; i < outer; ++i) {
    copy(whole.begin() + i * whole_run + offset * inner, part.begin() + i * run, run);
  }
}

/// The sizes that Split gives its outputs along a dimension of size `dim`.
absl::StatusOr<std::vector<int64_t>> SplitSizes(const Call& call, int64_t dim) {
  ASSIGN_OR_RETURN(std::optional<std::vector<int64_t>> sizes,
                   call.opset < 13 ? call.Ints("split") : call.IntsInput(1, "split"));
  if (!sizes) {
    ASSIGN_OR_RETURN(const int64_t outputs, call.Int("num_outputs", 0));
    if (outputs <= 0 || outputs > dim) {
      return UserError("cannot split a dimension of ", dim, " into ", outputs, " outputs");
    }
    // Every output has the same size except the last, which may be smaller.
    const int64_t size = (dim + outputs - 1) / outputs;
    sizes.emplace(outputs, size);
    sizes->back() = dim - size * (outputs - 1);
  }
  int64_t sum = 0;
  for (const int64_t size : *sizes) {
    if (size < 0 || size > dim - sum) {
      return UserError("cannot split a dimension of ", dim, " into parts of ", DimsToString(*sizes));
    }
    sum += size;
  }
  if (sum != dim) {
    return UserError("cannot split a dimension of ", dim, " into parts of ", DimsToString(*sizes));
  }
  return *std::move(sizes);
}

/// What Slice takes from one dimension: `count` indices from `start` in steps of `step`.
struct SliceRange {
  int64_t start;
  int64_t count;
  int64_t step;
};

absl::StatusOr<SliceRange> ClampSlice(int64_t start, int64_t end, int64_t step, int64_t dim) {
  if (step == 0 || step == std::numeric_limits<int64_t>::min()) {
    return UserError("cannot slice in steps of ", step);
  }
  const auto from_end = [&](int64_t index) { return index < 0 ? index + dim : index; };
  if (step > 0) {
    start = std::clamp<int64_t>(from_end(start), 0, dim);
    end = std::clamp<int64_t>(from_end(end), 0, dim);
    // Without overflow for any step: the distance is at most dim.
    return SliceRange{start, end > start ? (end - start - 1) / step + 1 : 0, step};
  }
  // Backwards, -1 stands for the place before the first element.
  start = std::clamp<int64_t>(from_end(start), -1, dim - 1);
  end = std::clamp<int64_t>(from_end(end), -1, dim - 1);
  return SliceRange{start, start > end ? (start - end - 1) / -step + 1 : 0, step};
}

/// The ranges that the inputs of Slice name, one per dimension of its data.
absl::StatusOr<std::vector<SliceRange>> SliceRanges(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const std::vector<int64_t> starts, call.RequiredInts(1, "starts"));
  ASSIGN_OR_RETURN(const std::vector<int64_t> ends, call.RequiredInts(2, "ends"));
  ASSIGN_OR_RETURN(const auto axes, call.IntsInput(3, "axes"));
  ASSIGN_OR_RETURN(const auto steps, call.IntsInput(4, "steps"));
  const size_t count = starts.size();
  if (ends.size() != count || (axes && axes->size() != count) || (steps && steps->size() != count)) {
    return UserError("starts, ends, axes and steps differ in length");
  }
  std::vector<SliceRange> ranges;
  for (const int64_t dim : data.dims) {
    ranges.push_back({0, dim, 1});
  }
  std::vector<bool> seen(data.dims.size(), false);
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(axes ? (*axes)[i] : static_cast<int64_t>(i), data.rank()));
    if (seen[axis]) {
      return UserError("axis ", axis, " is sliced twice");
    }
    seen[axis] = true;
    ASSIGN_OR_RETURN(ranges[axis], ClampSlice(starts[i], ends[i], steps ? (*steps)[i] : 1, data.dims[axis]));
  }
  return ranges;
}

}  // namespace

Results EvalConcat(const Call& call) {
  const Tensor& first = call.input(0);
  if (call.attributes.find("axis") == call.attributes.end()) {
    return UserError("attribute 'axis' is required");
  }
  ASSIGN_OR_RETURN(const int64_t raw_axis, call.Int("axis", 0));
  ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(raw_axis, first.rank()));
  std::vector<int64_t> dims = first.dims;
  dims[axis] = 0;
  for (const Tensor* part : call.inputs) {
    RETURN_IF_ERROR(ExpectSameDType(first, *part));
    std::vector<int64_t> expected = first.dims;
    if (part->rank() == first.rank()) {
      expected[axis] = part->dims[axis];
    }
    if (part->dims != expected) {
      return UserError("cannot join shapes ", DimsToString(first.dims), " and ", DimsToString(part->dims),
                       " along dimension ", axis);
    }
    dims[axis] += part->dims[axis];
  }
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(first.dtype, std::move(dims)));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  int64_t offset = 0;
  for (const Tensor* part : call.inputs) {
    WithElements(*part, result, [&](const auto& in, auto& out) {
      CopyAlongAxis(result, *part, axis, offset, out, in,
                    [](auto whole, auto piece, int64_t run) { std::copy_n(piece, run, whole); });
    });
    offset += part->dims[axis];
  }
  return Single(std::move(result));
}

Results EvalSplit(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const int64_t raw_axis, call.Int("axis", 0));
  ASSIGN_OR_RETURN(const int64_t axis, NormalizeAxis(raw_axis, data.rank()));
  ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, SplitSizes(call, data.dims[axis]));
  std::vector<Tensor> results;
  int64_t offset = 0;
  for (const int64_t size : sizes) {
    std::vector<int64_t> dims = data.dims;
    dims[axis] = size;
    ASSIGN_OR_RETURN(Tensor part, call.NewResult(data.dtype, std::move(dims)));
    if (!IsDone(part)) {
      WithElements(data, part, [&](const auto& in, auto& out) {
        CopyAlongAxis(data, part, axis, offset, in, out,
                      [](auto whole, auto piece, int64_t run) { std::copy_n(whole, run, piece); });
      });
    }
    results.push_back(std::move(part));
    offset += size;
  }
  return results;
}

Results EvalSlice(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const std::vector<SliceRange> ranges, SliceRanges(call));
  std::vector<int64_t> dims;
  std::vector<int64_t> strides = RowMajorStrides(data.dims);
  int64_t base = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    dims.push_back(ranges[i].count);
    base += ranges[i].start * strides[i];
    // A step is only taken between two indices that exist, so a single one needs none: the product cannot overflow.
    strides[i] = ranges[i].count > 1 ? strides[i] * ranges[i].step : 0;
  }
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, std::move(dims)));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  WithElements(data, result, [&](const auto& in, auto& out) {
    int64_t next = 0;
    ForEachIndex<1>(result.dims, {strides}, [&](const std::array<int64_t, 1>& at) { out[next++] = in[base + at[0]]; });
  });
  return Single(std::move(result));
}

/// The upper or lower triangle of each matrix; `k` moves the diagonal up.
Results EvalTrilu(const Call& call) {
  const Tensor& data = call.input(0);
  ASSIGN_OR_RETURN(const int64_t upper, call.Int("upper", 1));
  if (data.rank() < 2) {
    return UserError("needs a matrix, but the input has shape ", DimsToString(data.dims));
  }
  ASSIGN_OR_RETURN(Tensor result, call.NewResult(data.dtype, data.dims));
  if (IsDone(result)) {
    return Single(std::move(result));
  }
  ASSIGN_OR_RETURN(const auto k_input, call.IntsInput(1, "k"));
  if (k_input && k_input->size() != 1) {
    return UserError("'k' must be a scalar");
  }
  const int64_t columns = data.dims.back();
  const int64_t rows = data.dims[data.dims.size() - 2];
  // Further out than the matrix reaches, every diagonal does the same.
  const int64_t k = k_input ? std::clamp<int64_t>(k_input->front(), -rows - 1, columns + 1) : 0;
  WithElements(data, result, [&](const auto& in, auto& out) {
    for (size_t i = 0; i < in.size(); ++i) {
      const int64_t column = static_cast<int64_t>(i) % columns;
      const int64_t row = static_cast<int64_t>(i) / columns % rows;
      const bool kept = upper != 0 ? column - row >= k : column - row <= k;
      out[i] = kept ? in[i] : 0;
    }
  });
  return Single(std::move(result));
}

}  // namespace dejavu::onnx_eval
