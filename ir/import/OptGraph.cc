#include "ir/import/OptGraph.h"

#include <cmath>
#include <vector>

#include "ir/core/Builder.h"
#include "ir/ops/ModelOps.h"

namespace dejavu {
namespace {

/// The rows at the start of OPT's position table that no position uses.
constexpr int64_t kPositionOffset = 2;

/// PyTorch's default, which OPT leaves as it is; config.json does not tell it.
constexpr double kNormEpsilon = 1e-5;

class OptBuilder {
 public:
  OptBuilder(const OptConfig& config, const OptTensors& tensors, Module* module)
      : config_(config),
        tensors_(tensors),
        module_(*module),
        function_(*module->AddFunction("forward")),
        builder_(&function_) {}

  absl::Status Build() {
    RETURN_IF_ERROR(Embeddings());
    for (int64_t i = 0; i < config_.layers; ++i) {
      RETURN_IF_ERROR(Layer(i));
    }
    RETURN_IF_ERROR(Head());
    SetFacts();
    return absl::OkStatus();
  }

 private:
  /// A linear layer's parameters; bias is null where there is none.
  struct LinearWeights {
    Value* weight = nullptr;
    Value* bias = nullptr;
  };

  Location At(const std::string& part) const { return Location{absl::StrCat(std::string(tensors_.prefix()), part)}; }

  /// The tensor `name` as a weight of the module, which enters it at the first call.
  absl::StatusOr<Value*> Get(const std::string& name, const Shape& shape) {
    Weight* known = module_.FindWeight(name);
    if (known == nullptr) {
      ASSIGN_OR_RETURN(Weight weight, tensors_.Get(name));
      RETURN_IF_ERROR(CheckType(weight, shape));
      known = module_.AddWeight(std::move(weight));
    }
    return known->value;
  }

  static absl::Status CheckType(const Weight& weight, const Shape& shape) {
    const DType dtype = weight.type.dtype;
    const std::string what = absl::StrCat(weight.file, ": tensor '", weight.tensor, "' is ", weight.type.ToString());
    if (weight.type.shape != shape) {
      return UserError(what, ", but by config.json it must be ", Type{dtype, shape}.ToString());
    }
    if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
      return UserError(what, "; expected weights of f32, f16 or bf16");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<LinearWeights> GetLinear(const std::string& part, int64_t outputs, int64_t inputs) {
    LinearWeights linear;
    ASSIGN_OR_RETURN(linear.weight, Get(part + ".weight", {outputs, inputs}));
    if (config_.biases) {
      ASSIGN_OR_RETURN(linear.bias, Get(part + ".bias", {outputs}));
    }
    return linear;
  }

  absl::StatusOr<Value*> Norm(Value* x, const std::string& part) {
    ASSIGN_OR_RETURN(Value * gamma, Get(part + ".weight", {config_.hidden}));
    ASSIGN_OR_RETURN(Value * beta, Get(part + ".bias", {config_.hidden}));
    return builder_.Create(kLayerNorm, {x, gamma, beta}, {{"epsilon", kNormEpsilon}}, At(part))->result();
  }

  /// A linear layer between widths, which has no bias in any OPT.
  absl::StatusOr<Value*> Project(Value* x, const std::string& part, int64_t outputs, int64_t inputs) {
    ASSIGN_OR_RETURN(Value * weight, Get(part + ".weight", {outputs, inputs}));
    return builder_.Create(kLinear, {x, weight, nullptr}, {}, At(part))->result();
  }

  /// What the token table is stored as. A checkpoint keeps tied tensors once, under either name.
  std::string TableName() const {
    const bool under_head = config_.tied && !tensors_.Has("embed_tokens.weight") && tensors_.Has("lm_head.weight");
    return under_head ? "lm_head.weight" : "embed_tokens.weight";
  }

  absl::Status Embeddings() {
    Value* tokens = function_.AddArgument({DType::kI32, {"tokens"}}, "tokens");
    Value* past = function_.AddArgument({DType::kI64, {}}, "past");
    ASSIGN_OR_RETURN(Value * table, Get(TableName(), {config_.vocab, config_.embedding}));
    x_ = builder_.Create(kEmbedTokens, {tokens, table}, {}, At("embed_tokens"))->result();
    if (config_.is_projected()) {
      ASSIGN_OR_RETURN(x_, Project(x_, "project_in", config_.hidden, config_.embedding));
    }
    ASSIGN_OR_RETURN(Value * positions,
                     Get("embed_positions.weight", {config_.positions + kPositionOffset, config_.hidden}));
    x_ = builder_.Create(kEmbedPositions, {x_, past, positions}, {{"offset", kPositionOffset}}, At("embed_positions"))
             ->result();
    return absl::OkStatus();
  }

  absl::StatusOr<Value*> Attention(Value* x, const std::string& layer, int64_t index) {
    const std::string part = layer + ".self_attn";
    const int64_t hidden = config_.hidden;
    ASSIGN_OR_RETURN(const LinearWeights q, GetLinear(part + ".q_proj", hidden, hidden));
    ASSIGN_OR_RETURN(const LinearWeights k, GetLinear(part + ".k_proj", hidden, hidden));
    ASSIGN_OR_RETURN(const LinearWeights v, GetLinear(part + ".v_proj", hidden, hidden));
    ASSIGN_OR_RETURN(const LinearWeights out, GetLinear(part + ".out_proj", hidden, hidden));
    RETURN_IF_ERROR(CheckEqualDTypes(q.weight, k.weight));
    RETURN_IF_ERROR(CheckEqualDTypes(q.weight, v.weight));
    const std::string name = absl::StrCat("kv", index);
    const auto cache_type = [&](const char* length) {
      return Type{DType::kF32, {Dim(int64_t{2}), Dim(config_.heads), Dim(length), Dim(config_.head_dim())}};
    };
    Value* cache = function_.AddArgument(cache_type("past"), name);
    const Operation* op = builder_.CreateTyped(
        kAttention, {x, q.weight, q.bias, k.weight, k.bias, v.weight, v.bias, out.weight, out.bias, cache},
        {{"scale", 1 / std::sqrt(static_cast<double>(config_.head_dim()))}}, {x->type(), cache_type("context")},
        At(part));
    returns_.push_back(op->result(1));
    return_names_.push_back(name);
    return op->result();
  }

  /// Queries, keys and values are computed from one packed matrix.
  static absl::Status CheckEqualDTypes(const Value* q, const Value* other) {
    if (q->type() == other->type()) {
      return absl::OkStatus();
    }
    return UserError(other->weight()->file, ": tensor '", other->weight()->tensor, "' is ", other->type().ToString(),
                     ", but '", q->weight()->tensor, "' is ", q->type().ToString(),
                     "; expected queries, keys and values of one type");
  }

  absl::StatusOr<Value*> Mlp(Value* x, const std::string& layer) {
    ASSIGN_OR_RETURN(const LinearWeights fc1, GetLinear(layer + ".fc1", config_.ffn, config_.hidden));
    ASSIGN_OR_RETURN(const LinearWeights fc2, GetLinear(layer + ".fc2", config_.hidden, config_.ffn));
    return builder_.Create(kMlp, {x, fc1.weight, fc1.bias, fc2.weight, fc2.bias}, {}, At(layer + ".fc1"))->result();
  }

  absl::Status Layer(int64_t index) {
    const std::string layer = absl::StrCat("layers.", index);
    const std::string attention_norm = layer + ".self_attn_layer_norm";
    const std::string mlp_norm = layer + ".final_layer_norm";
    Value* in = x_;
    if (config_.norm_first) {
      ASSIGN_OR_RETURN(in, Norm(x_, attention_norm));
    }
    ASSIGN_OR_RETURN(Value * attended, Attention(in, layer, index));
    RETURN_IF_ERROR(AddResidual(attended, layer, attention_norm));
    in = x_;
    if (config_.norm_first) {
      ASSIGN_OR_RETURN(in, Norm(x_, mlp_norm));
    }
    ASSIGN_OR_RETURN(Value * fed, Mlp(in, layer));
    return AddResidual(fed, layer, mlp_norm);
  }

  /// The end of a block: its result joins the residual stream, which is then normalised where norms come last.
  absl::Status AddResidual(Value* y, const std::string& layer, const std::string& norm) {
    x_ = builder_.Create(kAdd, {x_, y}, {}, At(layer))->result();
    if (!config_.norm_first) {
      ASSIGN_OR_RETURN(x_, Norm(x_, norm));
    }
    return absl::OkStatus();
  }

  absl::Status Head() {
    if (config_.final_norm) {
      ASSIGN_OR_RETURN(x_, Norm(x_, "final_layer_norm"));
    }
    if (config_.is_projected()) {
      ASSIGN_OR_RETURN(x_, Project(x_, "project_out", config_.embedding, config_.hidden));
    }
    ASSIGN_OR_RETURN(Value * table,
                     Get(config_.tied ? TableName() : "lm_head.weight", {config_.vocab, config_.embedding}));
    // The head is not part of the decoder, and so without its prefix.
    x_ = builder_.Create(kLinear, {x_, table, nullptr}, {}, Location{"lm_head"})->result();
    returns_.insert(returns_.begin(), x_);
    return_names_.insert(return_names_.begin(), "logits");
    function_.SetReturns(std::move(returns_), std::move(return_names_));
    return absl::OkStatus();
  }

  void SetFacts() {
    const DType dtype = module_.FindWeight("layers.0.fc1.weight")->type.dtype;
    module_.set_stage("model");
    module_.SetAttribute("layers", config_.layers);
    module_.SetAttribute("hidden", config_.hidden);
    module_.SetAttribute("heads", config_.heads);
    module_.SetAttribute("ffn", config_.ffn);
    module_.SetAttribute("vocab", config_.vocab);
    module_.SetAttribute("positions", config_.positions);
    module_.SetAttribute("dtype", std::string(DTypeName(dtype)));
    module_.SetAttribute("bos", config_.bos);
    module_.SetAttribute("eos", config_.eos);
  }

  const OptConfig& config_;
  const OptTensors& tensors_;
  Module& module_;
  Function& function_;
  Builder builder_;
  Value* x_ = nullptr;  // the residual stream so far
  std::vector<Value*> returns_;
  std::vector<std::string> return_names_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Module>> BuildOptModule(const OptConfig& config, const std::string& name,
                                                       const OptTensors& tensors) {
  auto module = std::make_unique<Module>(name);
  RETURN_IF_ERROR(OptBuilder(config, tensors, module.get()).Build());
  return module;
}

}  // namespace dejavu
