// LiftLayerNorm.cc: recognises layer normalisation, as one ONNX op or spelt out in eight.
#include "ir/ops/ModelOps.h"
#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

struct LayerNorm {
  Value* x;
  const Weight* gamma;
  const Weight* beta;
  double epsilon;
};

/// Whether `op` is a mean over the last dimension that keeps it.
bool IsMeanOfLast(const Operation* op) {
  if (op == nullptr || op->GetAttribute<int64_t>("keepdims").value_or(1) != 1) {
    return false;
  }
  const auto rank = static_cast<int64_t>(op->operand(size_t{0})->type().rank());
  std::optional<std::vector<int64_t>> axes = op->GetAttribute<std::vector<int64_t>>("axes");
  if (op->num_operands() > 1 && op->operand(1) != nullptr) {
    const std::optional<double> axis = ScalarOf(op->operand(1));
    axes = axis ? std::vector<int64_t>{static_cast<int64_t>(*axis)} : std::vector<int64_t>{};
  }
  return axes && axes->size() == 1 && ((*axes)[0] == -1 || (*axes)[0] == rank - 1);
}

/// x - mean(x), giving x.
Value* MatchCentred(const Operation* sub) {
  if (sub == nullptr) {
    return nullptr;
  }
  const Operation* mean = ProducerIf(sub->operand(1), "onnx.ReduceMean");
  Value* x = Through(sub->operand(size_t{0}));
  return IsMeanOfLast(mean) && Through(mean->operand(size_t{0})) == x ? x : nullptr;
}

/// sqrt(mean((x - mean(x))^2) + epsilon), giving epsilon.
std::optional<double> MatchDeviation(Value* value, const Value* x) {
  const Operation* sqrt = ProducerIf(value, "onnx.Sqrt");
  const Operation* sum = sqrt == nullptr ? nullptr : ProducerIf(sqrt->operand(size_t{0}), "onnx.Add");
  if (sum == nullptr) {
    return std::nullopt;
  }
  const auto split = SplitBy(*sum, "onnx.ReduceMean");
  const std::optional<double> epsilon = split ? ScalarOf(split->second) : std::nullopt;
  if (!epsilon || !IsMeanOfLast(split->first)) {
    return std::nullopt;
  }
  Value* square = split->first->operand(size_t{0});
  if (const Operation* pow = ProducerIf(square, "onnx.Pow")) {
    const bool squared = ScalarOf(pow->operand(1)) == 2.0;
    return squared && MatchCentred(ProducerIf(pow->operand(size_t{0}), "onnx.Sub")) == x ? epsilon : std::nullopt;
  }
  const Operation* mul = ProducerIf(square, "onnx.Mul");
  const bool squared = mul != nullptr && MatchCentred(ProducerIf(mul->operand(size_t{0}), "onnx.Sub")) == x &&
                       MatchCentred(ProducerIf(mul->operand(1), "onnx.Sub")) == x;
  return squared ? epsilon : std::nullopt;
}

/// Matches backwards from the addition of beta.
std::optional<LayerNorm> MatchSpeltOut(const Operation& add) {
  const auto shift = SplitByWeight(add, 1);
  const Operation* mul = shift ? ProducerIf(shift->second, "onnx.Mul") : nullptr;
  const auto scale = mul == nullptr ? std::nullopt : SplitByWeight(*mul, 1);
  const Operation* div = scale ? ProducerIf(scale->second, "onnx.Div") : nullptr;
  Value* x = div == nullptr ? nullptr : MatchCentred(ProducerIf(div->operand(size_t{0}), "onnx.Sub"));
  if (x == nullptr) {
    return std::nullopt;
  }
  const std::optional<double> epsilon = MatchDeviation(div->operand(1), x);
  if (!epsilon) {
    return std::nullopt;
  }
  return LayerNorm{x, scale->first, shift->first, *epsilon};
}

absl::StatusOr<LayerNorm> ReadFused(const Operation& op) {
  Value* x = op.operand(size_t{0});
  const auto rank = static_cast<int64_t>(x->type().rank());
  const int64_t axis = op.GetAttribute<int64_t>("axis").value_or(-1);
  const Weight* gamma = WeightOf(op.operand(1));
  const Weight* beta = op.num_operands() > 2 ? WeightOf(op.operand(2)) : nullptr;
  if ((axis != -1 && axis != rank - 1) || gamma == nullptr || beta == nullptr) {
    return UserError(op.Describe(), " must normalise the last dimension and have a scale and a bias that are weights");
  }
  return LayerNorm{x, gamma, beta, op.GetAttribute<double>("epsilon").value_or(1e-5)};
}

absl::Status Rewrite(Operation* op, const LayerNorm& norm, PassContext& context) {
  Builder builder(op->parent(), op);
  ASSIGN_OR_RETURN(Value * rows, AsRows(builder, norm.x, *op));
  ASSIGN_OR_RETURN(Operation * lifted, builder.TryCreate(kLayerNorm, {rows, norm.gamma->value, norm.beta->value},
                                                         {{"epsilon", norm.epsilon}}, *op));
  ReplaceByView(builder, op, lifted->result());
  context.Count("layer norms");
  return absl::OkStatus();
}

absl::Status LiftLayerNorm(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    for (Operation* op : OpsOf(*function, "onnx.LayerNormalization")) {
      ASSIGN_OR_RETURN(const LayerNorm norm, ReadFused(*op));
      RETURN_IF_ERROR(Rewrite(op, norm, context));
    }
    for (Operation* op : OpsOf(*function, "onnx.Add")) {
      if (const std::optional<LayerNorm> norm = MatchSpeltOut(*op)) {
        RETURN_IF_ERROR(Rewrite(op, *norm, context));
      }
    }
    Sweep(*function, context);
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kLiftLayerNormPass = {
    .name = "lift-layer-norm",
    .summary = "Recognises layer normalisation, as onnx.LayerNormalization or spelt out with ReduceMean, Pow and Sqrt.",
    .example = R"(before  %m = onnx.ReduceMean(%x)  %d = onnx.Sub(%x, %m)  ...  %y = onnx.Add(%scaled, @beta)
after   %y = model.layer_norm(%x, @gamma, @beta) {epsilon = 1e-05} : f32<tokens, 64>)",
    .promise = Promise::kReal,
    .options = {},
    .run = LiftLayerNorm};

}  // namespace dejavu
