// NameWeights.cc: gives weights the names of their roles, so that IR and artifact read alike for every exporter.
#include <set>

#include "passes/lift/LiftPasses.h"
#include "passes/lift/Match.h"

namespace dejavu {
namespace {

class Namer {
 public:
  Namer(Module& module, PassContext& context) : module_(module), context_(context) {}

  void Name(const Value* value, const std::string& name) {
    // A weight with two roles, as tied embeddings have, keeps the first.
    if (value == nullptr || !named_.insert(value->weight()).second || module_.FindWeight(name) != nullptr) {
      return;
    }
    Weight* weight = module_.FindWeight(value->weight()->name);
    weight->name = name;
    weight->value->set_name(name);
    context_.Count("weights named");
  }

 private:
  Module& module_;
  PassContext& context_;
  std::set<const Weight*> named_;
};

void NameOperands(const Operation& op, const std::string& prefix, Namer& namer) {
  for (size_t i = 0; i < op.num_operands(); ++i) {
    const Value* operand = op.operand(i);
    if (operand != nullptr && operand->weight() != nullptr) {
      namer.Name(operand, absl::StrCat(prefix, std::string(op.schema().operand_specs[i].name)));
    }
  }
}

absl::Status NameWeights(Module& module, PassContext& context) {
  Namer namer(module, context);
  for (const auto& function : module.functions()) {
    int layer = 0;
    int norms = 0;
    bool embedded = false;
    for (const auto& op : function->ops()) {
      if (op->Is("model.attention")) {
        NameOperands(*op, absl::StrCat("layers.", layer, ".attention."), namer);
      } else if (op->Is("model.mlp")) {
        NameOperands(*op, absl::StrCat("layers.", layer++, ".mlp."), namer);
      } else if (op->Is("model.layer_norm")) {
        NameOperands(*op, absl::StrCat("norms.", norms++, "."), namer);
      } else if (op->Is("model.embed_tokens")) {
        NameOperands(*op, "tokens.", namer);
      } else if (op->Is("model.embed_positions")) {
        NameOperands(*op, "positions.", namer);
        embedded = true;
      } else if (op->Is("model.linear")) {
        const bool last = !op->result()->has_uses();
        NameOperands(*op, last ? "head." : (embedded ? "project_out." : "project_in."), namer);
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

const PassInfo kNameWeightsPass = {
    .name = "name-weights",
    .summary = "Gives weights the names of their roles, such as layers.0.mlp.fc1.",
    .example = R"(before  model.mlp(%x, @"model.layers.0.fc1.weight", @"model.layers.0.fc1.bias", @val_71.T, ...)
after   model.mlp(%x, @layers.0.mlp.fc1, @layers.0.mlp.fc1_bias, @layers.0.mlp.fc2, ...))",
    .promise = Promise::kBits,
    .options = {},
    .run = NameWeights};

}  // namespace dejavu
