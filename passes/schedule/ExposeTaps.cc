// ExposeTaps.cc: returns from @prefill what predictors are trained on, beside its logits.
//
// What a function returns keeps its place in the arena to the end of the call (plan-buffers), so a runtime can read it
// then. The values are those of the shipped kernels: the tensor that a predictor is trained on is the one that it reads
// in deployment.
#include <optional>

#include "passes/schedule/SchedulePasses.h"

namespace dejavu {
namespace {

class Exposing {
 public:
  explicit Exposing(Function& function)
      : function_(function), returns_(function.returns()), names_(function.return_names()) {}

  absl::StatusOr<int64_t> Run() {
    for (const auto& op : function_.ops()) {
      if (op->Is("sched.launch @attention")) {
        RETURN_IF_ERROR(AddAttention(*op));
      } else if (op->Is("sched.launch @gemm") && op->GetAttribute<bool>("relu").value_or(false)) {
        Add("mlp_input", mlps_, op->operand("x"));
        Add("neurons", mlps_++, op->result());
      }
    }
    if (attentions_ != mlps_ || mlps_ == 0) {
      return UserError("expose-taps expects as many attentions as MLPs with a ReLU in @", function_.name(),
                       ", but there are ", attentions_, " and ", mlps_);
    }
    function_.SetReturns(std::move(returns_), std::move(names_));
    return added_;
  }

 private:
  absl::Status AddAttention(const Operation& attention) {
    const Operation* qkv = attention.operand("qkv")->producer();
    if (qkv == nullptr || !qkv->Is("sched.launch @gemm")) {
      return UserError(attention.Describe(), " has no gemm before it, whose input could be returned");
    }
    Add("attention_input", attentions_, qkv->operand("x"));
    Add("heads", attentions_++, attention.result());
    return absl::OkStatus();
  }

  void Add(std::string_view what, int64_t layer, Value* value) {
    returns_.push_back(value);
    names_.push_back(absl::StrCat("tap.", std::string(what), ".", layer));
    ++added_;
  }

  Function& function_;
  std::vector<Value*> returns_;
  std::vector<std::string> names_;
  int64_t attentions_ = 0;
  int64_t mlps_ = 0;
  int64_t added_ = 0;
};

absl::Status ExposeTaps(Module& module, PassContext& context) {
  Function* prefill = module.FindFunction("prefill");
  if (prefill == nullptr || module.stage() != "sched") {
    return UserError("expose-taps expects a function @prefill at sched; run lower-to-sched before it");
  }
  ASSIGN_OR_RETURN(const int64_t added, Exposing(*prefill).Run());
  context.Count("values returned", added);
  return absl::OkStatus();
}

}  // namespace

const PassInfo kExposeTapsPass = {
    .name = "expose-taps",
    .summary =
        "Returns from @prefill the inputs of each layer's attention and MLP, its neurons and its heads' outputs, for "
        "training.",
    .example = R"(before  %h = sched.launch @gemm(%x, @fc1, @b1) {relu = true}   return %logits as "logits"
after   return %logits as "logits", %x as "tap.mlp_input.0", %h as "tap.neurons.0", ...)",
    .promise = Promise::kBits,
    .options = {},
    .run = ExposeTaps};

}  // namespace dejavu
