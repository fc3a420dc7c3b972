#include "passes/lift/OptStructure.h"

#include <algorithm>

#include "passes/lift/Match.h"

namespace dejavu {
namespace {

/// The op called `name` that reads `value` at any operand, or null.
Operation* UserOf(const Value* value, std::string_view name) {
  for (const Use& use : value->uses()) {
    if (use.user->Is(name)) {
      return use.user;
    }
  }
  return nullptr;
}

class OptWalk {
 public:
  OptWalk(Module& module, const Function& function) : module_(module), function_(function) {}

  absl::Status Run() {
    RETURN_IF_ERROR(Embeddings());
    const size_t attentions = OpsOf(function_, "model.attention").size();
    const size_t mlps = OpsOf(function_, "model.mlp").size();
    while (UserOf(x_, "model.attention") != nullptr || NextNormFeeds("model.attention")) {
      RETURN_IF_ERROR(Block("model.attention", "attention"));
      RETURN_IF_ERROR(Block("model.mlp", "MLP"));
      ++layers_;
    }
    if (layers_ != attentions || layers_ != mlps || layers_ == 0) {
      return UserError("the graph has ", attentions, " attention and ", mlps, " MLP blocks, but only ", layers_,
                       " of them follow each other as in OPT, up to ", Where(x_));
    }
    RETURN_IF_ERROR(Biases());
    RETURN_IF_ERROR(Head());
    SetFacts();
    return absl::OkStatus();
  }

 private:
  static std::string Where(const Value* value) {
    return value->producer() == nullptr ? absl::StrCat("'", value->name(), "'") : value->producer()->Describe();
  }

  bool NextNormFeeds(std::string_view op_name) const {
    const Operation* norm = UserOf(x_, "model.layer_norm");
    return norm != nullptr && UserOf(norm->result(), op_name) != nullptr;
  }

  absl::Status Embeddings() {
    const std::vector<Operation*> tokens = OpsOf(function_, "model.embed_tokens");
    const std::vector<Operation*> positions = OpsOf(function_, "model.embed_positions");
    if (tokens.size() != 1 || positions.size() != 1) {
      return UserError("the graph has ", tokens.size(), " token and ", positions.size(),
                       " position embeddings; expected one of each, added to each other");
    }
    vocab_ = tokens[0]->operand("table")->type();
    positions_ =
        positions[0]->operand("table")->type().shape[0].size() - *positions[0]->GetAttribute<int64_t>("offset");
    x_ = tokens[0]->result();
    if (const Operation* project = UserOf(x_, "model.linear")) {
      x_ = project->result();
    }
    if (UserOf(x_, "model.embed_positions") != positions[0]) {
      return UserError(positions[0]->Describe(), " must add the positions to the token embedding");
    }
    x_ = positions[0]->result();
    return absl::OkStatus();
  }

  /// One residual block: x + f(norm(x)), or norm(x + f(x)).
  absl::Status Block(std::string_view op_name, std::string_view what) {
    const bool norm_first = NextNormFeeds(op_name);
    const Value* in = norm_first ? UserOf(x_, "model.layer_norm")->result() : x_;
    const Operation* op = UserOf(in, op_name);
    if (op == nullptr) {
      return UserError(Where(x_), " must be followed by an ", std::string(what), " block, possibly after a layer norm");
    }
    const Operation* sum = UserOf(op->result(), "model.add");
    const bool residual = sum != nullptr && (sum->operand(size_t{0}) == x_ || sum->operand(1) == x_);
    if (!residual) {
      return UserError(op->Describe(), " has no residual: expected the block's input, ", Where(x_),
                       ", to be added to its result");
    }
    x_ = sum->result();
    if (!norm_first) {
      const Operation* norm = UserOf(x_, "model.layer_norm");
      if (norm == nullptr) {
        return UserError(sum->Describe(), " must be followed by a layer norm, as none precedes the ",
                         std::string(what));
      }
      x_ = norm->result();
    }
    return absl::OkStatus();
  }

  absl::Status Biases() const {
    const Operation* without = nullptr;
    std::string missing;
    std::string present;
    for (const auto& op : function_.ops()) {
      if (!op->Is("model.attention") && !op->Is("model.mlp")) {
        continue;
      }
      for (size_t i = 0; i < op->schema().num_operands; ++i) {
        const std::string_view port = op->schema().operand_specs[i].name;
        if (!port.ends_with("_bias")) {
          continue;
        }
        if (op->operand(i) == nullptr) {
          without = op.get();
          missing = port;
        } else {
          present = absl::StrCat("'", std::string(port), "' of ", op->Describe());
        }
      }
    }
    if (!present.empty() && without != nullptr) {
      return UserError(without->Describe(), " has no '", missing, "', but there is ", present,
                       "; expected biases in all attention and MLP blocks or in none");
    }
    return absl::OkStatus();
  }

  absl::Status Head() {
    if (const Operation* norm = UserOf(x_, "model.layer_norm")) {
      x_ = norm->result();
    }
    const auto logits = std::find(function_.return_names().begin(), function_.return_names().end(), "logits");
    const Value* expected = function_.returns()[static_cast<size_t>(logits - function_.return_names().begin())];
    for (int step = 0; step < 2 && x_ != expected; ++step) {
      const Operation* linear = UserOf(x_, "model.linear");
      if (linear == nullptr) {
        break;
      }
      x_ = linear->result();
    }
    if (x_ != expected || !x_->producer()->Is("model.linear")) {
      return UserError(Where(x_), " must lead to 'logits' by linear layers only");
    }
    return absl::OkStatus();
  }

  void SetFacts() {
    const Operation* attention = OpsOf(function_, "model.attention")[0];
    const Operation* mlp = OpsOf(function_, "model.mlp")[0];
    module_.SetAttribute("layers", static_cast<int64_t>(layers_));
    module_.SetAttribute("hidden", attention->operand("x")->type().shape[1].size());
    module_.SetAttribute("heads", attention->operand("cache")->type().shape[1].size());
    module_.SetAttribute("ffn", mlp->operand("fc1")->type().shape[0].size());
    module_.SetAttribute("vocab", vocab_.shape[0].size());
    module_.SetAttribute("positions", positions_);
    module_.SetAttribute("dtype", std::string(DTypeName(mlp->operand("fc1")->type().dtype)));
    module_.SetAttribute("bos", module_.IntAttribute("bos", 2));
    module_.SetAttribute("eos", module_.IntAttribute("eos", 2));
  }

  Module& module_;
  const Function& function_;
  const Value* x_ = nullptr;  // the residual stream so far
  size_t layers_ = 0;
  int64_t positions_ = 0;
  Type vocab_;
};

}  // namespace

absl::Status CheckOptStructure(Module& module, const Function& function) { return OptWalk(module, function).Run(); }

}  // namespace dejavu
