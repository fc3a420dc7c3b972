// LowerToSched.cc: replaces each model and sparse op by launches of kernels.
//
// One token goes through linear (a matrix is read once, row by row), many through gemm. q, k and v become one matrix,
// so that one launch reads them. An fc2 that @decode stores neuron by neuron serves @prefill in the same form.
#include "ir/base/Phases.h"
#include "ir/core/Builder.h"
#include "ir/import/WeightTransforms.h"
#include "ir/ops/ModelOps.h"
#include "ir/ops/SchedOps.h"
#include "ir/ops/SparseOps.h"
#include "ir/verify/Verifier.h"
#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

class Lowering {
 public:
  Lowering(Module& module, Function& function, PassContext& context)
      : module_(module), function_(function), context_(context) {}

  absl::Status Run() {
    std::vector<Operation*> ops;
    for (const auto& op : function_.ops()) {
      ops.push_back(op.get());
    }
    for (Operation* op : ops) {
      before_ = op;
      RETURN_IF_ERROR(Lower(*op));
    }
    if (SequencesOf(function_.name()) > 0) {
      ChooseToken();
    }
    function_.EraseDeadOps();
    return absl::OkStatus();
  }

 private:
  absl::Status Lower(const Operation& op) {
    using Method = void (Lowering::*)(const Operation&);
    struct Entry {
      std::string_view name;
      Method method;
    };
    static constexpr Entry kEntries[] = {{"model.add", &Lowering::Add},
                                         {"model.attention", &Lowering::Attention},
                                         {"model.embed_positions", &Lowering::EmbedPositions},
                                         {"model.embed_tokens", &Lowering::EmbedTokens},
                                         {"model.last_token", &Lowering::LastToken},
                                         {"model.layer_norm", &Lowering::LayerNorm},
                                         {"model.linear", &Lowering::LinearLayer},
                                         {"model.mlp", &Lowering::Mlp},
                                         {"sparse.attention", &Lowering::SparseAttention},
                                         {"sparse.certified_active", &Lowering::CertifiedActive},
                                         {"sparse.keep_inputs", &Lowering::KeepInputs},
                                         {"sparse.lazy_attention", &Lowering::LazyAttention},
                                         {"sparse.mlp", &Lowering::SparseMlp},
                                         {"sparse.quantized_active", &Lowering::QuantizedActive},
                                         {"sparse.quantized_linear", &Lowering::QuantizedLinear},
                                         {"sparse.select", &Lowering::Select}};
    for (const Entry& entry : kEntries) {
      if (op.Is(entry.name)) {
        (this->*entry.method)(op);
        return absl::OkStatus();
      }
    }
    return BugError(op.Describe(), " has no lowering");
  }

  Operation* Launch(const Operation& from, const OpSchema& schema, std::vector<Value*> operands,
                    AttributeMap attributes = {}) {
    attributes["stream"] = int64_t{0};
    context_.Count("launches");
    return Builder(&function_, before_).Create(schema, std::move(operands), std::move(attributes), from.location());
  }

  void Replace(const Operation& op, const Operation* launch, size_t result = 0) {
    function_.ReplaceAllUses(op.result(result), launch->result(result));
  }

  /// x w^T + bias: by linear for one token of one or a few sequences, by gemm for many.
  Operation* Product(const Operation& from, Value* x, Value* w, Value* bias, bool relu) {
    const Dim& tokens = x->type().shape[0];
    return Launch(from, tokens.is_static() ? kLaunchLinear : kLaunchGemm, {x, w, bias, nullptr}, {{"relu", relu}});
  }

  /// Returns the likeliest next token as "choice" beside the logits, so that it need not leave the device to be
  /// decoded.
  void ChooseToken() {
    std::vector<Value*> returns = function_.returns();
    std::vector<std::string> names = function_.return_names();
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == "logits" && returns[i]->producer() != nullptr) {
        before_ = nullptr;  // at the end
        const Operation* choice = Launch(*returns[i]->producer(), kLaunchArgmax, {returns[i]});
        returns.push_back(choice->result());
        names.emplace_back("choice");
        break;
      }
    }
    function_.SetReturns(std::move(returns), std::move(names));
  }

  void Add(const Operation& op) { Replace(op, Launch(op, kLaunchAdd, op.operands())); }
  void EmbedTokens(const Operation& op) { Replace(op, Launch(op, kLaunchEmbedTokens, op.operands())); }
  void LastToken(const Operation& op) { Replace(op, Launch(op, kLaunchLastRow, op.operands())); }
  void LayerNorm(const Operation& op) { Replace(op, Launch(op, kLaunchLayerNorm, op.operands(), op.attributes())); }
  void EmbedPositions(const Operation& op) {
    Replace(op, Launch(op, kLaunchEmbedPositions, {op.operand("x"), op.operand("table"), op.operand("past")},
                       op.attributes()));
  }
  void LinearLayer(const Operation& op) {
    Replace(op, Product(op, op.operand("x"), op.operand("weight"), op.operand("bias"), /*relu=*/false));
  }

  void Attention(const Operation& op) {
    const auto [weight, bias] = QkvOf(op);
    Operation* qkv = Product(op, op.operand("x"), weight, bias, /*relu=*/false);
    const Type& cache = op.operand("cache")->type();
    Operation* mixed = Launch(op, kLaunchAttention, {qkv->result(), op.operand("cache"), nullptr, op.operand("past")},
                              {{"heads", cache.shape[1].size()}, {"scale", *op.GetAttribute<double>("scale")}});
    Replace(op, Product(op, mixed->result(), op.operand("out"), op.operand("out_bias"), /*relu=*/false));
    Replace(op, mixed, 1);
  }

  void SparseAttention(const Operation& op) {
    const AttributeMap attributes = HeadAttributes(op);
    const auto [weight, bias] = QkvOf(op);
    Value* heads = op.operand("heads");
    Operation* qkv = Launch(op, kLaunchSparseQkv, {op.operand("x"), weight, bias, heads}, attributes);
    Operation* mixed = Launch(op, kLaunchAttention, {qkv->result(), op.operand("cache"), heads, op.operand("past")},
                              WithScale(op, attributes));
    Replace(op, Launch(op, kLaunchSparseOut,
                       {mixed->result(), op.operand("out"), op.operand("out_bias"), nullptr, heads}, attributes));
    Replace(op, mixed, 1);
  }

  void LazyAttention(const Operation& op) {
    const AttributeMap attributes = HeadAttributes(op);
    const auto [weight, bias] = QkvOf(op);
    Value* heads = op.operand("heads");
    Value* filled = op.operand("filled");
    Operation* qkv =
        Launch(op, kLaunchLazyQkv,
               {op.operand("x"), weight, bias, heads, op.operand("cache"), op.operand("inputs"), filled}, attributes);
    Operation* mixed =
        Launch(op, kLaunchLazyAttention, {qkv->result(), qkv->result(1), heads, filled}, WithScale(op, attributes));
    Replace(op, Launch(op, kLaunchSparseOut,
                       {mixed->result(), op.operand("out"), op.operand("out_bias"), nullptr, heads}, attributes));
    Replace(op, mixed, 1);
    function_.ReplaceAllUses(op.result(2), qkv->result(2));
    function_.ReplaceAllUses(op.result(3), mixed->result(2));
  }

  void KeepInputs(const Operation& op) {
    const Operation* kept = Launch(op, kLaunchKeepInputs, op.operands());
    Replace(op, kept);
    Replace(op, kept, 1);
  }

  AttributeMap HeadAttributes(const Operation& op) const {
    return {{"heads", op.operand("cache")->type().shape[1].size()}, {"layer", layer_}};
  }

  static AttributeMap WithScale(const Operation& op, AttributeMap attributes) {
    attributes["scale"] = *op.GetAttribute<double>("scale");
    return attributes;
  }

  /// The matrix of q, k and v below each other, and their biases or null.
  std::pair<Value*, Value*> QkvOf(const Operation& op) {
    const std::string prefix = absl::StrCat("layers.", layer_, ".attention.qkv");
    return {Joined(prefix, {op.operand("q"), op.operand("k"), op.operand("v")}), JoinedBias(prefix + "_bias", op)};
  }

  Value* Joined(const std::string& name, const std::vector<Value*>& parts) {
    std::vector<const Weight*> sources;
    sources.reserve(parts.size());
    for (const Value* part : parts) {
      sources.push_back(part->weight());
    }
    return AddDerivedWeight(module_, name, "concat", std::move(sources))->value;
  }

  /// The three biases below each other, zeros where only some are there; null if none is.
  Value* JoinedBias(const std::string& name, const Operation& op) {
    std::vector<Value*> parts;
    bool any = false;
    for (std::string_view port : {"q", "k", "v"}) {
      Value* bias = op.operand(absl::StrCat(std::string(port), "_bias"));
      any = any || bias != nullptr;
      const Weight* matrix = op.operand(port)->weight();
      parts.push_back(bias != nullptr ? bias
                                      : AddDerivedWeight(module_, matrix->name + ".zeros", "zeros", {matrix})->value);
    }
    return any ? Joined(name, parts) : nullptr;
  }

  void Mlp(const Operation& op) {
    Operation* h = Product(op, op.operand("x"), op.operand("fc1"), op.operand("fc1_bias"), /*relu=*/true);
    const Weight* fc2 = op.operand("fc2")->weight();
    const Weight* neuron_major = NeuronMajor(fc2);
    Operation* y = nullptr;
    if (neuron_major != nullptr) {
      y = Launch(op, kLaunchGemmTransposed, {h->result(), neuron_major->value, op.operand("fc2_bias"), nullptr},
                 {{"relu", false}});
    } else {
      y = Product(op, h->result(), fc2->value, op.operand("fc2_bias"), /*relu=*/false);
    }
    Replace(op, y);
    ++layer_;
  }

  /// The transposed form of `fc2` that a sparse MLP of another function reads, or null.
  const Weight* NeuronMajor(const Weight* fc2) const {
    for (const auto& function : module_.functions()) {
      for (const auto& op : function->ops()) {
        const bool sparse = op->Is("sparse.mlp") || op->Is("sched.launch @sparse_fc2");
        const Weight* stored = sparse ? op->operand("fc2")->weight() : nullptr;
        const bool same = stored != nullptr && ((stored->is_derived() && stored->sources[0] == fc2) ||
                                                (fc2->transform == "transpose" && fc2->sources[0] == stored));
        if (same) {
          return stored;
        }
      }
    }
    return nullptr;
  }

  void CertifiedActive(const Operation& op) {
    Operation* flags = Launch(op, kLaunchCertifiedTest, op.operands(), {{"layer", layer_}});
    Replace(op, Launch(op, kLaunchCompact, {flags->result(), nullptr}, {{"layer", layer_}}));
  }

  void QuantizedActive(const Operation& op) {
    AttributeMap attributes = op.attributes();
    attributes["layer"] = layer_;
    Operation* flags = Launch(op, kLaunchQuantizedTest, op.operands(), std::move(attributes));
    Replace(op, Launch(op, kLaunchCompact, {flags->result(), op.operand("among")}, {{"layer", layer_}}));
  }

  void QuantizedLinear(const Operation& op) { Replace(op, Launch(op, kLaunchQuantizedLinear, op.operands())); }

  void Select(const Operation& op) {
    AttributeMap attributes = op.attributes();
    attributes["stream"] = int64_t{0};
    context_.Count("launches");
    Replace(op, Builder(&function_, before_)
                    .CreateTyped(kLaunchSelect, op.operands(), std::move(attributes), {op.result()->type()},
                                 op.location()));
  }

  void SparseMlp(const Operation& op) {
    Value* active = op.operand("active");
    Operation* h = Launch(op, kLaunchSparseFc1,
                          {op.operand("x"), op.operand("fc1"), BiasOrZeros(op, "fc1_bias", "fc1", 0), active},
                          {{"layer", layer_}});
    Operation* y = Launch(op, kLaunchSparseFc2,
                          {h->result(), active, op.operand("fc2"), BiasOrZeros(op, "fc2_bias", "fc2", 1), nullptr},
                          {{"layer", layer_}});
    Replace(op, y);
    ++layer_;
  }

  /// Sparse kernels always add a bias; `side` 1: one for each column of the matrix, which is a row of its transpose.
  Value* BiasOrZeros(const Operation& op, std::string_view bias, std::string_view matrix, int side) {
    if (op.operand(bias) != nullptr) {
      return op.operand(bias);
    }
    const Weight* weight = op.operand(matrix)->weight();
    if (side == 1) {
      weight = AddDerivedWeight(module_, weight->name + ".T", "transpose", {weight});
    }
    return AddDerivedWeight(module_, weight->name + ".zeros", "zeros", {weight})->value;
  }

  Module& module_;
  Function& function_;
  PassContext& context_;
  const Operation* before_ = nullptr;
  int64_t layer_ = 0;
};

/// What the launches ask for beyond the ops: vectors in f32, and q, k and v that one matrix can hold.
absl::Status CheckWeightTypes(const Function& function) {
  for (const auto& op : function.ops()) {
    for (const Value* operand : op->operands()) {
      const Weight* weight = operand == nullptr ? nullptr : operand->weight();
      if (weight != nullptr && weight->type.rank() == 1 && weight->type.dtype != DType::kF32) {
        return UserError(op->Describe(), " reads '", weight->name, "', which is ", weight->type.ToString(),
                         ", but kernels read f32 vectors; run pack-weights before lower-to-sched");
      }
    }
    if (!op->Is("model.attention") && !op->Is("sparse.attention") && !op->Is("sparse.lazy_attention")) {
      continue;
    }
    const DType dtype = op->operand("q")->type().dtype;
    if (op->operand("k")->type().dtype != dtype || op->operand("v")->type().dtype != dtype) {
      return UserError(op->Describe(), " must have q, k and v of one type, but they are ",
                       op->operand("q")->type().ToString(), ", ", op->operand("k")->type().ToString(), " and ",
                       op->operand("v")->type().ToString());
    }
  }
  return absl::OkStatus();
}

absl::Status LowerToSched(Module& module, PassContext& context) {
  std::vector<Function*> functions = {module.FindFunction("decode")};
  for (const auto& function : module.functions()) {
    if (SequencesOf(function->name()) > 1) {
      functions.push_back(function.get());
    }
  }
  // Last, as what the others store decides what it reads.
  functions.push_back(module.FindFunction("prefill"));
  for (Function* function : functions) {
    if (function == nullptr) {
      return UserError("lower-to-sched expects the functions @prefill and @decode; run split-phases before it");
    }
    RETURN_IF_ERROR(RequireWeights(*function));
    RETURN_IF_ERROR(CheckWeightTypes(*function));
    RETURN_IF_ERROR(Lowering(module, *function, context).Run());
  }
  module.EraseDeadWeights();
  module.set_stage("sched");
  return absl::OkStatus();
}

}  // namespace

const PassInfo kLowerToSchedPass = {
    .name = "lower-to-sched",
    .summary = "Replaces each op by launches of kernels, q, k and v by one matrix, and enters the sched stratum.",
    .example = R"(before  %y = sparse.mlp(%x, @fc1, @b1, @fc2.T, @b2, %active)
after   %h = sched.launch @sparse_fc1(%x, @fc1, @b1, %active) on stream0
        %y = sched.launch @sparse_fc2(%h, %active, @fc2.T, @b2) on stream0)",
    .promise = Promise::kBits,
    .options = {},
    .run = LowerToSched};

}  // namespace dejavu
