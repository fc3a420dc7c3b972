#include "ir/interp/LazyEval.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/interp/ModelMath.h"
#include "ir/interp/PredictorMath.h"

namespace dejavu {
namespace {

using Inputs = absl::Span<const Tensor* const>;
using Results = absl::StatusOr<std::vector<Tensor>>;

/// A matrix with its bias, which may be null; its first row in it.
struct Rows {
  const Tensor* matrix;
  const Tensor* bias;
  int64_t first = 0;
};

/// f32<1, 3H>: q, k and v of the listed heads; NaN elsewhere.
Tensor ListedQkv(const Tensor& x, const Rows (&parts)[3], const Tensor& list, int64_t heads,
                 const EvalOptions& options) {
  const int64_t hidden = x.dims[1];
  const int64_t dim = hidden / heads;
  Tensor qkv = FloatTensor({1, 3 * hidden});
  std::fill(qkv.floats.begin(), qkv.floats.end(), std::numeric_limits<double>::quiet_NaN());
  for (int64_t part = 0; part < 3; ++part) {
    for (const int64_t head : list.ints) {
      for (int64_t i = head * dim; i < (head + 1) * dim; ++i) {
        const Rows& rows = parts[part];
        double sum = 0;
        for (int64_t j = 0; j < hidden; ++j) {
          sum += x.floats[j] * rows.matrix->floats[(rows.first + i) * hidden + j];
        }
        qkv.floats[part * hidden + i] = sum + (rows.bias == nullptr ? 0.0 : rows.bias->floats[rows.first + i]);
      }
    }
  }
  Round(qkv, options);
  return qkv;
}

/// `cache` with the keys and values that the listed heads slept through.
Tensor Woken(const Tensor& cache, const Tensor& inputs, const Tensor& filled, const Rows (&parts)[3],
             const Tensor& list, const EvalOptions& options) {
  Tensor woken = cache;
  const int64_t heads = cache.dims[1];
  const int64_t past = cache.dims[2];
  const int64_t dim = cache.dims[3];
  const int64_t hidden = heads * dim;
  for (const int64_t head : list.ints) {
    const Tensor alone = {.dtype = DType::kIndex, .dims = {1}, .floats = {}, .ints = {head}};
    for (int64_t p = std::min(filled.ints[head], past); p < past; ++p) {
      Tensor x = FloatTensor({1, hidden});
      std::copy_n(inputs.floats.begin() + p * hidden, hidden, x.floats.begin());
      const Tensor qkv = ListedQkv(x, parts, alone, heads, options);
      for (int64_t part = 1; part < 3; ++part) {
        std::copy_n(qkv.floats.begin() + part * hidden + head * dim, dim,
                    woken.floats.begin() + (((part - 1) * heads + head) * past + p) * dim);
      }
    }
  }
  return woken;
}

Tensor Appended(const Tensor& inputs, const Tensor& x) {
  Tensor grown = inputs;
  grown.dims[2] += x.dims[0];
  grown.floats.insert(grown.floats.end(), x.floats.begin(), x.floats.end());
  return grown;
}

/// After a token that has `past` before it.
Tensor NewFilled(const Tensor& filled, const Tensor& list, int64_t past) {
  Tensor counts = filled;
  for (int64_t& count : counts.ints) {
    count = std::min(count, past);
  }
  for (const int64_t head : list.ints) {
    counts.ints[head] = past + 1;
  }
  return counts;
}

absl::Status CheckState(const Operation& op, const Tensor& inputs, const Tensor& filled, int64_t past) {
  if (inputs.dims[2] != past || std::any_of(filled.ints.begin(), filled.ints.end(), [](int64_t n) { return n < 0; })) {
    return UserError(op.Describe(), ": ", past, " tokens are in the cache, but 'inputs' has ", inputs.dims[2],
                     ", and 'filled' must not be negative");
  }
  return absl::OkStatus();
}

}  // namespace

Results EvalLazyAttention(const Operation& op, Inputs in, const EvalOptions& options) {
  const Tensor& x = *in[0];
  const Tensor& cache = *in[9];
  const Tensor& list = *in[10];
  const int64_t past = cache.dims[2];
  RETURN_IF_ERROR(CheckState(op, *in[11], *in[12], past));
  const Rows parts[] = {{in[1], in[2]}, {in[3], in[4]}, {in[5], in[6]}};
  const Tensor qkv = ListedQkv(x, parts, list, cache.dims[1], options);
  Tensor grown = AppendToCache(qkv, Woken(cache, *in[11], *in[12], parts, list, options));
  const AttendArgs args = {.scale = *op.GetAttribute<double>("scale"), .heads = &list};
  const Tensor mixed = Attend(qkv, grown, args, options);
  Tensor y = SparseOut({.x = &mixed, .w = in[7], .bias = in[8]}, list, cache.dims[1], options);
  return std::vector<Tensor>{std::move(y), std::move(grown), Appended(*in[11], x), NewFilled(*in[12], list, past)};
}

Results EvalLaunchLazyQkv(const Operation& op, Inputs in, const EvalOptions& options) {
  const Tensor x =
      in[7] == nullptr ? *in[0] : LayerNorm(*in[0], *in[7], *in[8], *op.GetAttribute<double>("epsilon"), options);
  const Tensor& cache = *in[4];
  RETURN_IF_ERROR(CheckState(op, *in[5], *in[6], cache.dims[2]));
  const int64_t hidden = x.dims[1];
  const Rows parts[] = {{in[1], in[2], 0}, {in[1], in[2], hidden}, {in[1], in[2], 2 * hidden}};
  Tensor qkv = ListedQkv(x, parts, *in[3], cache.dims[1], options);
  return std::vector<Tensor>{std::move(qkv), Woken(cache, *in[5], *in[6], parts, *in[3], options), Appended(*in[5], x)};
}

Results EvalLaunchLazyAttention(const Operation& op, Inputs in, const EvalOptions& options) {
  Tensor cache = AppendToCache(*in[0], *in[1]);
  Tensor y = Attend(*in[0], cache, {.scale = *op.GetAttribute<double>("scale"), .heads = in[2]}, options);
  return std::vector<Tensor>{std::move(y), std::move(cache), NewFilled(*in[3], *in[2], in[1]->dims[2])};
}

Results EvalKeepInputs(const Operation& /*op*/, Inputs in, const EvalOptions& /*options*/) {
  Tensor inputs = Appended(*in[1], *in[0]);
  Tensor filled = *in[2];
  std::fill(filled.ints.begin(), filled.ints.end(), inputs.dims[2]);
  return std::vector<Tensor>{std::move(inputs), std::move(filled)};
}

}  // namespace dejavu
