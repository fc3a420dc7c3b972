#include "ir/interp/ModelEval.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "ir/interp/LazyEval.h"
#include "ir/interp/ModelMath.h"
#include "ir/interp/PredictorMath.h"

namespace dejavu {
namespace {

using Inputs = absl::Span<const Tensor* const>;
using Results = absl::StatusOr<std::vector<Tensor>>;

Tensor Add(const Tensor& a, const Tensor& b, const EvalOptions& options) {
  Tensor y = a;
  for (size_t i = 0; i < y.floats.size(); ++i) {
    y.floats[i] = a.floats[i] + b.floats[i];
  }
  Round(y, options);
  return y;
}

Results EvalEmbedTokens(const Operation& op, Inputs in, const EvalOptions& /*options*/) {
  const Tensor& tokens = *in[0];
  const int64_t width = in[1]->dims[1];
  Tensor y = FloatTensor({tokens.dims[0], width});
  for (size_t t = 0; t < tokens.ints.size(); ++t) {
    if (tokens.ints[t] < 0 || tokens.ints[t] >= in[1]->dims[0]) {
      return UserError(op.Describe(), ": token ", tokens.ints[t], " is outside the vocabulary of ", in[1]->dims[0]);
    }
    std::copy_n(in[1]->floats.begin() + tokens.ints[t] * width, width,
                y.floats.begin() + static_cast<int64_t>(t) * width);
  }
  return std::vector<Tensor>{std::move(y)};
}

Results EmbedPositions(const Operation& op, const Tensor& x, const Tensor& table, const Tensor& past,
                       const EvalOptions& options) {
  const int64_t offset = *op.GetAttribute<int64_t>("offset");
  const int64_t width = x.dims[1];
  Tensor y = x;
  for (int64_t t = 0; t < x.dims[0]; ++t) {
    // A batch has a past for each row.
    const int64_t position = past.dims.empty() ? past.ints[0] + t : past.ints[t];
    if (position + offset < 0 || position + offset >= table.dims[0]) {
      return UserError(op.Describe(), ": position ", position, " is beyond the table of ", table.dims[0], " rows");
    }
    for (int64_t j = 0; j < width; ++j) {
      y.floats[t * width + j] += table.floats[(position + offset) * width + j];
    }
  }
  Round(y, options);
  return std::vector<Tensor>{std::move(y)};
}

Results EvalEmbedPositions(const Operation& op, Inputs in, const EvalOptions& options) {
  return EmbedPositions(op, *in[0], *in[2], *in[1], options);
}

Results EvalLaunchEmbedPositions(const Operation& op, Inputs in, const EvalOptions& options) {
  return EmbedPositions(op, *in[0], *in[1], *in[2], options);
}

Results EvalLayerNorm(const Operation& op, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{LayerNorm(*in[0], *in[1], *in[2], *op.GetAttribute<double>("epsilon"), options)};
}

/// What a launch works on: x, or its layer norm where the launch has one, whose gamma is operand number `gamma`.
Tensor NormedInput(const Operation& op, Inputs in, size_t gamma, const EvalOptions& options) {
  return in[gamma] == nullptr
             ? *in[0]
             : LayerNorm(*in[0], *in[gamma], *in[gamma + 1], *op.GetAttribute<double>("epsilon"), options);
}

Results EvalLinear(const Operation& /*op*/, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{Linear({.x = in[0], .w = in[1], .bias = in[2]}, options)};
}

Results EvalLaunchGemm(const Operation& op, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{Linear({.x = in[0],
                                     .w = in[1],
                                     .bias = in[2],
                                     .residual = in[3],
                                     .relu = *op.GetAttribute<bool>("relu"),
                                     .transposed = op.Is("sched.launch @gemm_transposed")},
                                    options)};
}

Results EvalLaunchLinear(const Operation& op, Inputs in, const EvalOptions& options) {
  const Tensor x = NormedInput(op, in, 4, options);
  return std::vector<Tensor>{
      Linear({.x = &x, .w = in[1], .bias = in[2], .residual = in[3], .relu = *op.GetAttribute<bool>("relu")}, options)};
}

/// A batch's sequences have no more tokens than their caches have room for.
absl::Status CheckRoom(const Operation& op, const Tensor& cache, const Tensor* past) {
  for (size_t t = 0; past != nullptr && t < past->ints.size(); ++t) {
    if (past->ints[t] < 0 || past->ints[t] > cache.dims[2]) {
      return UserError(op.Describe(), ": sequence ", t, " has a past of ", past->ints[t], " tokens, but a cache of ",
                       cache.dims[2]);
    }
  }
  return absl::OkStatus();
}

/// The first three projections of an attention, side by side.
Tensor Qkv(Inputs in, const EvalOptions& options) {
  const int64_t tokens = in[0]->dims[0];
  const int64_t hidden = in[0]->dims[1];
  Tensor qkv = FloatTensor({tokens, 3 * hidden});
  for (int64_t part = 0; part < 3; ++part) {
    const Tensor y = Linear({.x = in[0], .w = in[1 + 2 * part], .bias = in[2 + 2 * part]}, options);
    for (int64_t t = 0; t < tokens; ++t) {
      std::copy_n(y.floats.begin() + t * hidden, hidden, qkv.floats.begin() + t * 3 * hidden + part * hidden);
    }
  }
  return qkv;
}

/// The operand number `index`, which may be absent.
const Tensor* OptionalInput(Inputs in, size_t index) { return index < in.size() ? in[index] : nullptr; }

Results EvalAttention(const Operation& op, Inputs in, const EvalOptions& options) {
  const Tensor qkv = Qkv(in, options);
  const Tensor* past = OptionalInput(in, 10);
  RETURN_IF_ERROR(CheckRoom(op, *in[9], past));
  Tensor cache = AppendToCache(qkv, *in[9], past);
  const Tensor mixed = Attend(qkv, cache, {.scale = *op.GetAttribute<double>("scale"), .past = past}, options);
  Tensor y = Linear({.x = &mixed, .w = in[7], .bias = in[8]}, options);
  return std::vector<Tensor>{std::move(y), std::move(cache)};
}

Results EvalLaunchAttention(const Operation& op, Inputs in, const EvalOptions& options) {
  const Tensor* past = OptionalInput(in, 3);
  RETURN_IF_ERROR(CheckRoom(op, *in[1], past));
  Tensor cache = AppendToCache(*in[0], *in[1], past);
  const AttendArgs args = {.scale = *op.GetAttribute<double>("scale"), .heads = OptionalInput(in, 2), .past = past};
  Tensor y = Attend(*in[0], cache, args, options);
  return std::vector<Tensor>{std::move(y), std::move(cache)};
}

Results EvalSparseAttention(const Operation& op, Inputs in, const EvalOptions& options) {
  const Tensor& heads = *in[10];
  const Tensor qkv = Qkv(in, options);
  const Tensor* past = OptionalInput(in, 11);
  RETURN_IF_ERROR(CheckRoom(op, *in[9], past));
  Tensor cache = AppendToCache(qkv, *in[9], past);
  const AttendArgs args = {.scale = *op.GetAttribute<double>("scale"), .heads = &heads, .past = past};
  const Tensor mixed = Attend(qkv, cache, args, options);
  Tensor y = SparseOut({.x = &mixed, .w = in[7], .bias = in[8]}, heads, in[9]->dims[1], options);
  return std::vector<Tensor>{std::move(y), std::move(cache)};
}

Results EvalSparseQkv(const Operation& op, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{
      SparseQkv(NormedInput(op, in, 4, options), *in[1], in[2], *in[3], *op.GetAttribute<int64_t>("heads"), options)};
}

Results EvalSparseOut(const Operation& op, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{SparseOut({.x = in[0], .w = in[1], .bias = in[2], .residual = in[3]}, *in[4],
                                       *op.GetAttribute<int64_t>("heads"), options)};
}

Results EvalMlp(const Operation& /*op*/, Inputs in, const EvalOptions& options) {
  const Tensor h = Linear({.x = in[0], .w = in[1], .bias = in[2], .relu = true}, options);
  return std::vector<Tensor>{Linear({.x = &h, .w = in[3], .bias = in[4]}, options)};
}

Results EvalAdd(const Operation& /*op*/, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{Add(*in[0], *in[1], options)};
}

Results EvalView(const Operation& op, Inputs in, const EvalOptions& options) {
  Tensor y = *in[0];
  const Type& type = op.result()->type();
  y.dtype = type.dtype;
  // A view has the symbols of what it views; their sizes are the input's.
  std::map<std::string, int64_t> sizes;
  const Shape& from = op.operand(size_t{0})->type().shape;
  for (size_t d = 0; d < from.size() && d < in[0]->dims.size(); ++d) {
    sizes[from[d].symbol()] = in[0]->dims[d];
  }
  y.dims.clear();
  for (const Dim& dim : type.shape) {
    y.dims.push_back(dim.is_static() ? dim.size() : sizes[dim.symbol()]);
  }
  if (y.NumElements() != in[0]->NumElements()) {
    return UserError(op.Describe(), " cannot show ", DimsToString(in[0]->dims), " as ", type.ToString());
  }
  Round(y, options);
  return std::vector<Tensor>{std::move(y)};
}

Results EvalLastToken(const Operation& /*op*/, Inputs in, const EvalOptions& /*options*/) {
  const int64_t width = in[0]->dims[1];
  Tensor y = FloatTensor({1, width});
  std::copy_n(in[0]->floats.end() - width, width, y.floats.begin());
  return std::vector<Tensor>{std::move(y)};
}

int64_t Likeliest(const double* logits, int64_t count) {
  int64_t choice = -1;
  for (int64_t i = 0; i < count; ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<double>::infinity()) {
      return -1;
    }
    if (std::isfinite(logits[i]) && (choice < 0 || logits[i] > logits[choice])) {
      choice = i;
    }
  }
  return choice;
}

Results EvalArgmax(const Operation& /*op*/, Inputs in, const EvalOptions& /*options*/) {
  Tensor result;
  result.dtype = DType::kI32;
  result.dims = {in[0]->dims[0]};
  for (int64_t t = 0; t < in[0]->dims[0]; ++t) {
    result.ints.push_back(Likeliest(in[0]->floats.data() + t * in[0]->dims[1], in[0]->dims[1]));
  }
  return std::vector<Tensor>{std::move(result)};
}

Results EvalCertifiedActive(const Operation& /*op*/, Inputs in, const EvalOptions& /*options*/) {
  return std::vector<Tensor>{Compact(CertifiedFlags(*in[0], *in[1], *in[2]))};
}

Results EvalCertifiedTest(const Operation& /*op*/, Inputs in, const EvalOptions& /*options*/) {
  return std::vector<Tensor>{CertifiedFlags(*in[0], *in[1], *in[2])};
}

Results EvalCompact(const Operation& /*op*/, Inputs in, const EvalOptions& /*options*/) {
  return std::vector<Tensor>{in[1] == nullptr ? Compact(*in[0]) : Compact(*in[0], *in[1])};
}

Results EvalQuantizedLinear(const Operation& /*op*/, Inputs in, const EvalOptions& /*options*/) {
  return std::vector<Tensor>{QuantizedLinear(*in[0], *in[1], *in[2], in[3])};
}

Results EvalLaunchQuantizedLinear(const Operation& op, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{QuantizedLinear(NormedInput(op, in, 4, options), *in[1], *in[2], in[3])};
}

Tensor QuantizedTest(const Operation& op, Inputs in, const Tensor& x) {
  return QuantizedFlags(x, {.copy = in[1],
                            .group_scales = in[2],
                            .rows = in[3],
                            .among = in[4],
                            .bits = *op.GetAttribute<int64_t>("bits"),
                            .group = *op.GetAttribute<int64_t>("group"),
                            .margin = static_cast<float>(*op.GetAttribute<double>("margin"))});
}

Results EvalQuantizedActive(const Operation& op, Inputs in, const EvalOptions& /*options*/) {
  const Tensor flags = QuantizedTest(op, in, *in[0]);
  return std::vector<Tensor>{in[4] == nullptr ? Compact(flags) : Compact(flags, *in[4])};
}

Results EvalQuantizedTest(const Operation& op, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{QuantizedTest(op, in, NormedInput(op, in, 5, options))};
}

Results EvalSelect(const Operation& op, Inputs in, const EvalOptions& /*options*/) {
  return std::vector<Tensor>{Select(*in[0], op.GetAttribute<int64_t>("k"))};
}

Results EvalSparseMlp(const Operation& /*op*/, Inputs in, const EvalOptions& options) {
  const Tensor h = SparseFc1(*in[0], *in[1], in[2], *in[5], options);
  return std::vector<Tensor>{SparseFc2(h, *in[5], *in[3], in[4], nullptr, options)};
}

Results EvalSparseFc1(const Operation& op, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{SparseFc1(NormedInput(op, in, 4, options), *in[1], in[2], *in[3], options)};
}

Results EvalSparseFc2(const Operation& /*op*/, Inputs in, const EvalOptions& options) {
  return std::vector<Tensor>{SparseFc2(*in[0], *in[1], *in[2], in[3], in[4], options)};
}

struct ModelEntry {
  std::string_view name;
  ModelEvalFn eval;
};

constexpr std::array kEntries = std::to_array<ModelEntry>({
    {"model.add", EvalAdd},
    {"model.attention", EvalAttention},
    {"model.embed_positions", EvalEmbedPositions},
    {"model.embed_tokens", EvalEmbedTokens},
    {"model.last_token", EvalLastToken},
    {"model.layer_norm", EvalLayerNorm},
    {"model.linear", EvalLinear},
    {"model.mlp", EvalMlp},
    {"model.view", EvalView},
    {"sched.launch @add", EvalAdd},
    {"sched.launch @argmax", EvalArgmax},
    {"sched.launch @attention", EvalLaunchAttention},
    {"sched.launch @certified_test", EvalCertifiedTest},
    {"sched.launch @compact", EvalCompact},
    {"sched.launch @embed_positions", EvalLaunchEmbedPositions},
    {"sched.launch @embed_tokens", EvalEmbedTokens},
    {"sched.launch @gemm", EvalLaunchGemm},
    {"sched.launch @gemm_transposed", EvalLaunchGemm},
    {"sched.launch @keep_inputs", EvalKeepInputs},
    {"sched.launch @last_row", EvalLastToken},
    {"sched.launch @layer_norm", EvalLayerNorm},
    {"sched.launch @lazy_attention", EvalLaunchLazyAttention},
    {"sched.launch @lazy_qkv", EvalLaunchLazyQkv},
    {"sched.launch @linear", EvalLaunchLinear},
    {"sched.launch @quantized_linear", EvalLaunchQuantizedLinear},
    {"sched.launch @quantized_test", EvalQuantizedTest},
    {"sched.launch @select", EvalSelect},
    {"sched.launch @sparse_fc1", EvalSparseFc1},
    {"sched.launch @sparse_fc2", EvalSparseFc2},
    {"sched.launch @sparse_out", EvalSparseOut},
    {"sched.launch @sparse_qkv", EvalSparseQkv},
    {"sparse.attention", EvalSparseAttention},
    {"sparse.certified_active", EvalCertifiedActive},
    {"sparse.keep_inputs", EvalKeepInputs},
    {"sparse.lazy_attention", EvalLazyAttention},
    {"sparse.mlp", EvalSparseMlp},
    {"sparse.quantized_active", EvalQuantizedActive},
    {"sparse.quantized_linear", EvalQuantizedLinear},
    {"sparse.select", EvalSelect},
});

}  // namespace

ModelEvalFn FindModelEval(std::string_view name) {
  const auto* it =
      std::find_if(kEntries.begin(), kEntries.end(), [name](const ModelEntry& e) { return e.name == name; });
  return it == kEntries.end() ? nullptr : it->eval;
}

}  // namespace dejavu
