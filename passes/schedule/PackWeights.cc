// PackWeights.cc: widens vectors to f32.
//
// Vectors are a thousandth of the bytes, and kernels that know one type of vector are half as many.
#include "ir/import/WeightTransforms.h"
#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

absl::Status PackWeights(Module& module, PassContext& context) {
  for (const auto& function : module.functions()) {
    for (const auto& op : function->ops()) {
      for (size_t i = 0; i < op->num_operands(); ++i) {
        const Value* operand = op->operand(i);
        const Weight* weight = operand == nullptr ? nullptr : operand->weight();
        if (weight != nullptr && weight->type.rank() == 1 && weight->type.dtype != DType::kF32) {
          op->SetOperand(i, AddDerivedWeight(module, weight->name + ".f32", "widen", {weight})->value);
          context.Count("vectors widened");
        }
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kPackWeightsPass = {
    .name = "pack-weights",
    .summary = "Widens biases and layer norm parameters to f32, which is exact and the only vector type of kernels.",
    .example = R"(before  model.layer_norm(%x, @g, @b)            with @g : f16<64>
after   model.layer_norm(%x, @g.f32, @b.f32)    with @g.f32 : f32<64> = widen(@g))",
    .promise = Promise::kBits,
    .options = {},
    .run = PackWeights};

}  // namespace dejavu
