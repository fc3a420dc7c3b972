// LiftAttention.cc: recognises causal multi-head attention around each softmax.
//
// What happens around the softmax is not matched by form but tried out: the scores' path with chosen scores, which
// shows mask and scale; the paths of q, k, v and the output with numbered elements, which shows how heads are laid out.
#include <cmath>

#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"
#include "passes/lift/Trace.h"

namespace dejavu {
namespace {

/// Everything found around one softmax.
struct Attention {
  Operation* softmax = nullptr;
  Operation* scores = nullptr;  // the product of q and k
  Operation* mixed = nullptr;   // the product of the probabilities and v
  Operation* out = nullptr;     // the linear layer that reads it
  Operation* q = nullptr;
  Operation* k = nullptr;
  Operation* v = nullptr;
  double scale = 1;
  int64_t heads = 0;
  int64_t head_dim = 0;
};

/// How the numbered elements of a traced value must lie: code of (head, row, column), where row is a token of the
/// context (of the new tokens for q and the output) and column an element of the head.
struct Layout {
  int64_t heads;
  int64_t rows;
  int64_t columns;
  int64_t past;     // rows that come from the past argument
  bool transposed;  // k: (head, column, row)
};

absl::Status CheckHeadLayout(const Operation& at, const Tensor& codes, const Layout& layout) {
  const int64_t tokens = layout.rows - layout.past;
  const auto fail = [&] {
    return UserError(at.Describe(), " reads its heads in an order that is not OPT's: head h must be columns h * ",
                     layout.columns, " to h * ", layout.columns, " + ", layout.columns - 1, " of the linear layer");
  };
  if (codes.NumElements() != layout.heads * layout.rows * layout.columns || tokens < 0) {
    return fail();
  }
  for (int64_t h = 0; h < layout.heads; ++h) {
    for (int64_t r = 0; r < layout.rows; ++r) {
      for (int64_t c = 0; c < layout.columns; ++c) {
        const int64_t index =
            layout.transposed ? (h * layout.columns + c) * layout.rows + r : (h * layout.rows + r) * layout.columns + c;
        const int64_t from_past = -1 - ((h * layout.past + r) * layout.columns + c);
        const int64_t from_new = 1 + (r - layout.past) * layout.heads * layout.columns + h * layout.columns + c;
        if (codes.floats[index] != static_cast<double>(r < layout.past ? from_past : from_new)) {
          return fail();
        }
      }
    }
  }
  return absl::OkStatus();
}

constexpr double kHidden = -1e4;  // exp of it is zero in every float type next to any real score

/// Whether element `i` of a tensor (..., tokens, context) is one that its token may see.
bool IsVisible(const ProbeSize& size, int64_t i) {
  const int64_t context = size.past + size.tokens;
  return i % context <= size.past + i / context % size.tokens;
}

/// Says what is wrong where a score at element `i` became `value`.
absl::Status MaskError(const Operation& softmax, const ProbeSize& size, int64_t i, double score, double value) {
  const int64_t context = size.past + size.tokens;
  const std::string place = absl::StrCat("position ", i % context, " of ", context);
  const std::string token = absl::StrCat("token ", i / context % size.tokens, " of ", size.tokens);
  if (IsVisible(size, i) && value > kHidden) {
    return UserError(softmax.Describe(), " reads scores that are changed: for ", token, " at ", place, ", ", score,
                     " becomes ", value, "; expected scale * score, with one scale");
  }
  return UserError(softmax.Describe(), " has a mask that is not causal: ", token,
                   IsVisible(size, i) ? " cannot see " : " sees ", place,
                   "; expected each token to see exactly itself and all before it");
}

/// The path from the scores to the softmax: exactly scale * score where a token may look, and nothing elsewhere.
absl::Status CheckMask(const Module& module, const Probe& probe, size_t at, Attention* attention) {
  Value* input = attention->softmax->operand(size_t{0});
  const Value* scores = attention->scores->result();
  const ProbeSize& size = probe.size(at);
  std::optional<double> scale;
  // Zero shows what is added, one the scale, the others that nothing is clipped or bent.
  for (double score : {0.0, 1.0, -3.0, 300.0, -300.0}) {
    ASSIGN_OR_RETURN(const Tensor path, EvaluateElementwise(module, probe, at, input, scores, score));
    for (int64_t i = 0; i < path.NumElements(); ++i) {
      const bool visible = IsVisible(size, i);
      if (visible && score == 1 && !scale) {
        scale = path.floats[i];
      }
      const double expected = score * scale.value_or(0);
      const bool right =
          visible ? std::abs(path.floats[i] - expected) <= 1e-12 * std::abs(expected) : path.floats[i] <= kHidden;
      if (!right) {
        return MaskError(*attention->softmax, size, i, score, path.floats[i]);
      }
    }
  }
  if (!(scale.value_or(0) > 0)) {
    return UserError(attention->softmax->Describe(),
                     " does not depend on its scores as expected: scale * score + mask");
  }
  attention->scale *= at == 0 ? *scale : 1;
  return absl::OkStatus();
}

/// The path from the softmax to the product with v must not change probabilities.
absl::Status CheckProbabilities(const Module& module, const Probe& probe, size_t at, const Attention& attention) {
  for (double probability : {0.0, 0.25, 1.0}) {
    ASSIGN_OR_RETURN(const Tensor after, EvaluateElementwise(module, probe, at, attention.mixed->operand(size_t{0}),
                                                             attention.softmax->result(), probability));
    for (double value : after.floats) {
      if (value != probability) {
        return UserError(attention.mixed->Describe(),
                         " reads probabilities that are changed after the softmax: ", probability, " becomes ", value);
      }
    }
  }
  return absl::OkStatus();
}

/// The product that reads the softmax's result, and the linear layer that reads that product.
absl::Status FindUsers(const Probe& probe, const Function& function, Attention* attention) {
  for (Operation* product : OpsOf(function, "onnx.MatMul")) {
    if (FindAbove(probe, product->operand(size_t{0}), "onnx.Softmax") == attention->softmax) {
      attention->mixed = product;
    }
  }
  const auto leads_down = [](Value* value, const Operation* target) {
    while (value->producer() != nullptr && value->producer() != target && !value->producer()->Is("onnx.Softmax") &&
           value->producer()->num_operands() > 0 && value->producer()->operand(size_t{0}) != nullptr) {
      value = value->producer()->operand(size_t{0});
    }
    return value->producer() == target;
  };
  for (Operation* linear : OpsOf(function, "model.linear")) {
    if (attention->mixed != nullptr && attention->out == nullptr &&
        leads_down(linear->operand("x"), attention->mixed)) {
      attention->out = linear;
    }
  }
  if (attention->mixed == nullptr || attention->out == nullptr) {
    return UserError(attention->softmax->Describe(),
                     " must be followed by a product with the values and by attention's "
                     "output projection");
  }
  return absl::OkStatus();
}

absl::Status CheckPaths(const Module& module, const Probe& probe, size_t at, Attention* attention) {
  const auto [tokens, past] = probe.size(at);
  ASSIGN_OR_RETURN(const Origin q, TraceToLinear(module, probe, at, attention->scores->operand(size_t{0})));
  ASSIGN_OR_RETURN(const Origin k, TraceToLinear(module, probe, at, attention->scores->operand(1)));
  ASSIGN_OR_RETURN(const Origin v, TraceToLinear(module, probe, at, attention->mixed->operand(1)));
  ASSIGN_OR_RETURN(const Origin out,
                   TraceToValue(module, probe, at, attention->out->operand("x"), attention->mixed->result()));
  const int64_t rank = q.codes.rank();
  const int64_t hidden = q.linear->result()->type().shape[1].size();
  if (rank < 3 || q.codes.dims[rank - 1] == 0 || hidden % q.codes.dims[rank - 1] != 0) {
    return UserError(attention->scores->Describe(), " must multiply (heads, tokens, head size) by its transpose");
  }
  attention->head_dim = q.codes.dims[rank - 1];
  attention->heads = hidden / attention->head_dim;
  const int64_t d = attention->head_dim;
  const int64_t a = attention->heads;
  RETURN_IF_ERROR(CheckHeadLayout(*attention->scores, q.codes, {a, tokens, d, 0, false}));
  const int64_t cached_k = k.past == nullptr ? 0 : past;
  const int64_t cached_v = v.past == nullptr ? 0 : past;
  RETURN_IF_ERROR(CheckHeadLayout(*attention->scores, k.codes, {a, tokens + cached_k, d, cached_k, true}));
  RETURN_IF_ERROR(CheckHeadLayout(*attention->mixed, v.codes, {a, tokens + cached_v, d, cached_v, false}));
  for (int64_t i = 0; i < out.codes.NumElements(); ++i) {
    const int64_t t = i / hidden;
    const int64_t h = i % hidden / d;
    if (out.codes.floats[i] != static_cast<double>(1 + (h * tokens + t) * d + i % d)) {
      return UserError(attention->out->Describe(), " reads the heads in an order that is not OPT's");
    }
  }
  attention->q = q.linear;
  attention->k = k.linear;
  attention->v = v.linear;
  if (at == 0) {
    attention->scale *= q.scale * k.scale * v.scale * out.scale;
  }
  if (v.scale * out.scale != 1) {
    return UserError(attention->mixed->Describe(), " must not scale the values");
  }
  return absl::OkStatus();
}

absl::Status Rewrite(Function& function, const Attention& found, int64_t layer, PassContext& context) {
  Value* x = found.q->operand("x");
  if (Through(found.k->operand("x")) != Through(x) || Through(found.v->operand("x")) != Through(x)) {
    return UserError(found.scores->Describe(), " must take q, k and v from the same input");
  }
  Value* cache = function.AddArgument(
      {DType::kF32, {Dim(int64_t{2}), Dim(found.heads), Dim("past"), Dim(found.head_dim)}}, absl::StrCat("kv", layer));
  Builder builder(&function, found.out);
  Operation* attention =
      builder.CreateTyped(kAttention,
                          {x, found.q->operand("weight"), found.q->operand("bias"), found.k->operand("weight"),
                           found.k->operand("bias"), found.v->operand("weight"), found.v->operand("bias"),
                           found.out->operand("weight"), found.out->operand("bias"), cache},
                          {{"scale", found.scale}},
                          {found.out->result()->type(),
                           Type{DType::kF32, {Dim(int64_t{2}), Dim(found.heads), Dim("context"), Dim(found.head_dim)}}},
                          found.softmax->location());
  function.ReplaceAllUses(found.out->result(), attention->result());
  std::vector<Value*> returns = function.returns();
  std::vector<std::string> names = function.return_names();
  returns.push_back(attention->result(1));
  names.push_back(absl::StrCat("kv", layer));
  function.SetReturns(std::move(returns), std::move(names));
  context.Count("attention layers");
  return absl::OkStatus();
}

/// Softmax must run over the last dimension. Before opset 13, `axis` was 1 by default and flattened all that follows.
absl::Status CheckSoftmaxAxis(const Operation& softmax, int64_t opset) {
  const auto rank = static_cast<int64_t>(softmax.operand(size_t{0})->type().rank());
  const int64_t axis = softmax.GetAttribute<int64_t>("axis").value_or(opset >= 13 ? -1 : 1);
  if (axis != -1 && axis != rank - 1) {
    return UserError(softmax.Describe(), " runs over dimension ", axis, " of ", rank, "; attention's is the last");
  }
  return absl::OkStatus();
}

absl::Status LiftAttention(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    ASSIGN_OR_RETURN(const Probe probe, Probe::Run(module, *function, context.weights()));
    std::vector<Attention> found;
    for (Operation* softmax : OpsOf(*function, "onnx.Softmax")) {
      Attention attention;
      attention.softmax = softmax;
      RETURN_IF_ERROR(CheckSoftmaxAxis(*softmax, module.IntAttribute("opset", 17)));
      attention.scores = FindAbove(probe, softmax->operand(size_t{0}), "onnx.MatMul");
      if (attention.scores == nullptr) {
        return UserError(softmax->Describe(), " must work on the scaled and masked product of queries and keys");
      }
      RETURN_IF_ERROR(FindUsers(probe, *function, &attention));
      for (size_t at = 0; at < Probe::kCount; ++at) {
        RETURN_IF_ERROR(CheckMask(module, probe, at, &attention));
        RETURN_IF_ERROR(CheckProbabilities(module, probe, at, attention));
        RETURN_IF_ERROR(CheckPaths(module, probe, at, &attention));
      }
      found.push_back(attention);
    }
    for (size_t layer = 0; layer < found.size(); ++layer) {
      RETURN_IF_ERROR(Rewrite(*function, found[layer], static_cast<int64_t>(layer), context));
    }
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kLiftAttentionPass = {
    .name = "lift-attention",
    .summary =
        "Recognises causal attention around each softmax, in eager, sdpa and past-key forms; adds a cache a layer.",
    .example =
        R"(before  %s = onnx.MatMul(%q, %kt)  %m = onnx.Add(%s, %mask)  %p = onnx.Softmax(%m)  %o = onnx.MatMul(%p, %v)  ...
after   %y, %c = model.attention(%x, @q, @qb, @k, @kb, @v, @vb, @o, @ob, %kv0) {scale = 0.25})",
    .promise = Promise::kReal,
    .options = {},
    .run = LiftAttention};

}  // namespace dejavu
