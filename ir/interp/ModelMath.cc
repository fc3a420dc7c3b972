#include "ir/interp/ModelMath.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace dejavu {

Tensor FloatTensor(std::vector<int64_t> dims) {
  Tensor tensor;
  tensor.dtype = DType::kF32;
  tensor.dims = std::move(dims);
  tensor.floats.assign(static_cast<size_t>(tensor.NumElements()), 0.0);
  return tensor;
}

void Round(Tensor& tensor, const EvalOptions& options) {
  if (options.round) {
    for (double& value : tensor.floats) {
      value = RoundToDType(value, tensor.dtype);
    }
  }
}

Tensor LayerNorm(const Tensor& x, const Tensor& gamma, const Tensor& beta, double epsilon, const EvalOptions& options) {
  const int64_t width = x.dims[1];
  Tensor y = x;
  for (int64_t t = 0; t < y.dims[0]; ++t) {
    double* row = y.floats.data() + t * width;
    double mean = 0;
    for (int64_t j = 0; j < width; ++j) {
      mean += row[j];
    }
    mean /= static_cast<double>(width);
    double variance = 0;
    for (int64_t j = 0; j < width; ++j) {
      variance += (row[j] - mean) * (row[j] - mean);
    }
    const double deviation = std::sqrt(variance / static_cast<double>(width) + epsilon);
    for (int64_t j = 0; j < width; ++j) {
      row[j] = (row[j] - mean) / deviation * gamma.floats[j] + beta.floats[j];
    }
  }
  Round(y, options);
  return y;
}

Tensor Linear(const LinearArgs& args, const EvalOptions& options) {
  const int64_t tokens = args.x->dims[0];
  const int64_t k = args.x->dims[1];
  const int64_t n = args.transposed ? args.w->dims[1] : args.w->dims[0];
  const int64_t row = args.transposed ? 1 : k;
  const int64_t step = args.transposed ? n : 1;
  Tensor y = FloatTensor({tokens, n});
  for (int64_t t = 0; t < tokens; ++t) {
    const double* x = args.x->floats.data() + t * k;
    for (int64_t i = 0; i < n; ++i) {
      const double* w = args.w->floats.data() + i * row;
      double sum = 0;
      for (int64_t j = 0; j < k; ++j) {
        sum += x[j] * w[j * step];
      }
      sum += args.bias != nullptr ? args.bias->floats[i] : 0.0;
      sum = args.relu ? std::max(sum, 0.0) : sum;
      y.floats[t * n + i] = args.residual != nullptr ? args.residual->floats[t * n + i] + sum : sum;
    }
  }
  Round(y, options);
  return y;
}

Tensor AppendToCache(const Tensor& qkv, const Tensor& cache, const Tensor* past) {
  const int64_t hidden = qkv.dims[1] / 3;
  const int64_t heads = cache.dims[1];
  const int64_t room = cache.dims[2];
  const int64_t dim = cache.dims[3];
  const int64_t sequences = cache.dims[0] / 2;
  const int64_t tokens = qkv.dims[0] / sequences;  // of each
  Tensor grown = FloatTensor({cache.dims[0], heads, room + tokens, dim});
  for (int64_t part = 0; part < cache.dims[0]; ++part) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t head = part * heads + h;
      double* to = grown.floats.data() + head * (room + tokens) * dim;
      std::copy_n(cache.floats.data() + head * room * dim, room * dim, to);
      const int64_t first = past == nullptr ? room : past->ints[part / 2];
      for (int64_t t = 0; t < tokens; ++t) {
        const int64_t row = part / 2 * tokens + t;
        const double* from = qkv.floats.data() + row * 3 * hidden + (part % 2 + 1) * hidden + h * dim;
        std::copy_n(from, dim, to + (first + t) * dim);
      }
    }
  }
  return grown;
}

Tensor Attend(const Tensor& qkv, const Tensor& cache, const AttendArgs& args, const EvalOptions& options) {
  const Tensor* chosen = args.heads;
  const int64_t tokens = qkv.dims[0];
  const int64_t hidden = qkv.dims[1] / 3;
  const int64_t heads = cache.dims[1];
  const int64_t context = cache.dims[2];
  const int64_t dim = cache.dims[3];
  Tensor y = FloatTensor({tokens, hidden});
  std::vector<double> scores(static_cast<size_t>(context));
  for (int64_t h = 0; h < heads; ++h) {
    if (chosen != nullptr && std::find(chosen->ints.begin(), chosen->ints.end(), h) == chosen->ints.end()) {
      for (int64_t t = 0; t < tokens; ++t) {
        std::fill_n(y.floats.begin() + t * hidden + h * dim, dim, std::numeric_limits<double>::quiet_NaN());
      }
      continue;
    }
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t sequence = args.past == nullptr ? 0 : t;
      const double* keys = cache.floats.data() + (2 * sequence * heads + h) * context * dim;
      const double* values = keys + heads * context * dim;
      const double* q = qkv.floats.data() + t * 3 * hidden + h * dim;
      const int64_t visible = args.past == nullptr ? context - tokens + t + 1 : args.past->ints[t] + 1;
      double top = -std::numeric_limits<double>::infinity();
      for (int64_t s = 0; s < visible; ++s) {
        double dot = 0;
        for (int64_t d = 0; d < dim; ++d) {
          dot += q[d] * keys[s * dim + d];
        }
        scores[s] = dot * args.scale;
        top = std::max(top, scores[s]);
      }
      double total = 0;
      for (int64_t s = 0; s < visible; ++s) {
        scores[s] = std::exp(scores[s] - top);
        total += scores[s];
      }
      double* out = y.floats.data() + t * hidden + h * dim;
      for (int64_t s = 0; s < visible; ++s) {
        for (int64_t d = 0; d < dim; ++d) {
          out[d] += scores[s] / total * values[s * dim + d];
        }
      }
    }
  }
  Round(y, options);
  return y;
}

namespace {

/// Sets the flags that the row x needs.
void AddCertifiedFlags(const double* x, const Tensor& q8, const Tensor& rows, Tensor& flags) {
  const int64_t n = q8.dims[0];
  const int64_t k = q8.dims[1];
  double top = 0;
  double square = 0;
  bool finite = true;
  for (int64_t j = 0; j < k; ++j) {
    const double value = x[j];
    finite = finite && std::isfinite(value);
    top = std::max(top, std::abs(value));
    square += value * value;
  }
  // The kernels' integer range: products of 127 summed over k columns stay below 2^31.
  const double steps = std::min<double>(32767, std::floor(2147483647.0 / (127.0 * static_cast<double>(k))));
  const double t = top / steps;
  std::vector<double> rounded(static_cast<size_t>(k), 0.0);
  double rest = 0;
  for (int64_t j = 0; j < k && top > 0; ++j) {
    rounded[j] = std::nearbyint(x[j] / t);
    rest += (x[j] - rounded[j] * t) * (x[j] - rounded[j] * t);
  }
  const double norm_x = std::sqrt(square);
  const double gamma = static_cast<double>(k + 8) * 0x1p-23;
  for (int64_t i = 0; i < n; ++i) {
    if (!finite) {
      flags.ints[i] = 1;
      continue;
    }
    const double scale = rows.floats[i * 4];
    const double residual = rows.floats[i * 4 + 1];
    const double norm = rows.floats[i * 4 + 2];
    const double bias = rows.floats[i * 4 + 3];
    double dot = 0;
    for (int64_t j = 0; j < k; ++j) {
      dot += static_cast<double>(q8.ints[i * k + j]) * rounded[j];
    }
    const double slack = residual * norm_x + norm * (std::sqrt(rest) + gamma * norm_x) + gamma * std::abs(bias);
    if (!(scale * t * dot + bias + slack * (1 + 0x1p-18) < 0)) {
      flags.ints[i] = 1;
    }
  }
}

}  // namespace

Tensor CertifiedFlags(const Tensor& x, const Tensor& q8, const Tensor& rows) {
  Tensor flags;
  flags.dtype = DType::kU8;
  flags.dims = {q8.dims[0]};
  flags.ints.assign(static_cast<size_t>(q8.dims[0]), 0);
  for (int64_t t = 0; t < x.dims[0]; ++t) {
    AddCertifiedFlags(x.floats.data() + t * x.dims[1], q8, rows, flags);
  }
  return flags;
}

Tensor Compact(const Tensor& flags) {
  Tensor active;
  active.dtype = DType::kIndex;
  for (size_t i = 0; i < flags.ints.size(); ++i) {
    if (flags.ints[i] != 0) {
      active.ints.push_back(static_cast<int64_t>(i));
    }
  }
  active.dims = {static_cast<int64_t>(active.ints.size())};
  return active;
}

Tensor Compact(const Tensor& flags, const Tensor& among) {
  Tensor active;
  active.dtype = DType::kIndex;
  for (size_t i = 0; i < among.ints.size(); ++i) {
    if (flags.ints[i] != 0) {
      active.ints.push_back(among.ints[i]);
    }
  }
  active.dims = {static_cast<int64_t>(active.ints.size())};
  return active;
}

Tensor SparseFc1(const Tensor& x, const Tensor& fc1, const Tensor* bias, const Tensor& active,
                 const EvalOptions& options) {
  const int64_t k = fc1.dims[1];
  const int64_t tokens = x.dims[0];
  Tensor h = FloatTensor({active.dims[0], tokens});
  for (int64_t a = 0; a < active.dims[0]; ++a) {
    const int64_t i = active.ints[a];
    for (int64_t t = 0; t < tokens; ++t) {
      double sum = 0;
      for (int64_t j = 0; j < k; ++j) {
        sum += x.floats[t * k + j] * fc1.floats[i * k + j];
      }
      h.floats[a * tokens + t] = std::max(sum + (bias != nullptr ? bias->floats[i] : 0.0), 0.0);
    }
  }
  Round(h, options);
  return h;
}

Tensor SparseFc2(const Tensor& h, const Tensor& active, const Tensor& fc2, const Tensor* bias, const Tensor* residual,
                 const EvalOptions& options) {
  const int64_t width = fc2.dims[1];
  const int64_t tokens = h.dims[1];
  Tensor y = FloatTensor({tokens, width});
  for (int64_t t = 0; t < tokens; ++t) {
    double* row = y.floats.data() + t * width;
    for (int64_t a = 0; a < active.dims[0]; ++a) {
      const double value = h.floats[a * tokens + t];
      for (int64_t j = 0; value != 0 && j < width; ++j) {
        row[j] += value * fc2.floats[active.ints[a] * width + j];
      }
    }
    for (int64_t j = 0; j < width; ++j) {
      row[j] += bias != nullptr ? bias->floats[j] : 0.0;
      row[j] = residual != nullptr ? residual->floats[t * width + j] + row[j] : row[j];
    }
  }
  Round(y, options);
  return y;
}

}  // namespace dejavu
