#include "passes/Pipelines.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace dejavu {
namespace {

using Step = std::pair<std::string_view, std::string_view>;

constexpr std::array kLift = std::to_array<Step>({
    {"fold-shapes", "every later pass asks for types"},
    {"lift-views", "reshapes and casts would hide the other patterns"},
    {"lift-layer-norm", "before lift-residual, which would take the sums inside a spelt-out norm"},
    {"lift-linear", "attention and MLP are recognised between linear layers"},
    {"fold-views", "so that a linear layer reads the norm itself"},
    {"lift-embeddings", "needs the integer arithmetic that finish-lift lets die"},
    {"lift-attention", "needs the mask's arithmetic too"},
    {"lift-mlp", "after attention, whose output layer must not be taken for an fc1"},
    {"lift-residual", "last: only additions between blocks are left"},
    {"fold-views", "between model ops all views cancel"},
    {"finish-lift", "refuses what is left"},
});

constexpr std::array kPhases = std::to_array<Step>({
    {"name-weights", "before weights are derived, whose names follow"},
    {"split-phases", "sparsity is for @decode only"},
});

constexpr std::array kExact = std::to_array<Step>({
    {"insert-predictors{kind=certified}", "an MLP is made sparse only where something predicts it"},
    {"sparsify-mlp", "uses the predictors"},
});

constexpr std::array kPredicted = std::to_array<Step>({
    {"insert-predictors{kind=copy}", "a copy of fc1 needs no training; with budgets, kind=low-rank takes its place"},
    {"sparsify-mlp", "uses the predictors"},
    {"sparsify-attention", "uses the predictors of heads, where there are any"},
});

constexpr std::array kNone = std::to_array<Step>({
    {"insert-predictors{kind=none}", "enters the stratum without predictors"},
});

constexpr std::array kSchedule = std::to_array<Step>({
    {"pack-weights", "kernels read f32 vectors"},
    {"lower-to-sched", "from here on everything is a launch"},
    {"fuse-residual", "after lowering, when the launch that makes each sum's side is known"},
    {"fuse-layer-norm", "after lowering, when it is known which launches read the norm"},
    {"overlap-predictors", "before plan-buffers: what runs side by side shares no bytes"},
    {"plan-buffers", "last: places depend on the final order"},
});

constexpr std::array kTapped = std::to_array<Step>({
    {"pack-weights", "as in schedule"},
    {"lower-to-sched", "as in schedule"},
    {"fuse-residual", "as in schedule"},
    {"fuse-layer-norm", "as in schedule"},
    {"overlap-predictors", "as in schedule"},
    {"expose-taps", "when the launches are known, and before plan-buffers: what is returned keeps its place"},
    {"plan-buffers", "as in schedule"},
});

constexpr std::array kPipelines = std::to_array<NamedPipeline>({
    {"lift", "From [onnx] to [model]: recognises an OPT decoder or refuses the graph.", kLift},
    {"phases", "Inside [model]: canonical weight names, @prefill and @decode.", kPhases},
    {"exact", "From [model] to [sparse] without any loss.", kExact},
    {"predicted", "From [model] to [sparse], with what predictors choose.", kPredicted},
    {"none", "From [model] to [sparse], dense.", kNone},
    {"schedule", "From [sparse] to [sched].", kSchedule},
    {"tapped", "As schedule, with what predictors are trained on beside the logits.", kTapped},
});

constexpr std::array kStrata = std::to_array<std::string_view>({"onnx", "model", "sparse", "sched"});

int StratumIndex(std::string_view name) {
  for (size_t i = 0; i < kStrata.size(); ++i) {
    if (kStrata[i] == name) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

/// The steps of `predicted` with predictors that keep to budgets. Of a batch each sequence is to choose by itself, and
/// of lazy heads each token: the same ones would never sleep.
std::string PredictedPipeline(const Budgets& budgets, bool batch) {
  std::string text = "insert-predictors{kind=low-rank";
  const auto add = [&](std::string_view option, const std::optional<double>& density) {
    if (density) {
      std::array<char, 32> digits = {};
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), *density).ptr;
      absl::StrAppend(&text, ",", std::string(option), "=", std::string(digits.data(), end));
    }
  };
  if (!budgets.profile.empty()) {
    absl::StrAppend(&text, ",profile=", budgets.profile);
  }
  add("mass", budgets.mass);
  add("head-share", budgets.head_share);
  add("mlp-density", budgets.mlp_density);
  add("head-density", budgets.head_density);
  text += batch ? ",choose=by-score,matrix-bits=8}" : budgets.lazy_kv ? ",choose=by-score}" : "}";
  for (size_t i = 1; i < kPredicted.size(); ++i) {
    absl::StrAppend(&text, ",", std::string(kPredicted[i].first));
  }
  return budgets.lazy_kv ? text + "{kv=lazy}" : text;  // sparsify-attention comes last
}

}  // namespace

absl::Span<const NamedPipeline> AllPipelines() { return kPipelines; }

const NamedPipeline* FindPipeline(std::string_view name) {
  for (const NamedPipeline& pipeline : kPipelines) {
    if (pipeline.name == name) {
      return &pipeline;
    }
  }
  return nullptr;
}

absl::Status CheckSparsity(const Module& module, std::string_view sparsity) {
  if (sparsity != "exact" && sparsity != "predicted" && sparsity != "none") {
    return UsageError("--sparsity must be exact, predicted or none, but is '", std::string(sparsity), "'");
  }
  const auto it = module.attributes().find("sparsity");
  if (it == module.attributes().end() || !std::holds_alternative<std::string>(it->second)) {
    return absl::OkStatus();
  }
  const std::string& decided = std::get<std::string>(it->second);
  if (decided != sparsity && StratumIndex(module.stage()) >= StratumIndex("sparse")) {
    return UserError("--sparsity=", std::string(sparsity), ": the input is at '", module.stage(),
                     "', where its sparsity is '", decided, "' already; compile the model itself");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> PipelineBetween(const Module& module, std::string_view to,
                                            std::optional<std::string_view> sparsity, const Budgets& budgets,
                                            absl::Span<const int64_t> batch) {
  const int first = StratumIndex(module.stage());
  const int last = StratumIndex(to);
  if (last < 0) {
    return UsageError("--compile-to must be onnx, model, sparse or sched, but is '", std::string(to), "'");
  }
  if (sparsity) {
    RETURN_IF_ERROR(CheckSparsity(module, *sparsity));
  }
  if (first > last) {
    return UsageError("--compile-to=", std::string(to), ": the input is at '", module.stage(),
                      "' already, which comes later");
  }
  const bool has_budgets = budgets.mlp_density || budgets.head_density || !budgets.profile.empty();
  const std::string to_sparse =
      has_budgets ? PredictedPipeline(budgets, !batch.empty()) : std::string(sparsity.value_or("exact"));
  const std::array<std::string_view, 4> pipelines = {"lift", "phases", to_sparse, "schedule"};
  // A checkpoint enters at [model] like a lifted graph: with @forward only.
  const bool needs_phases = first == 0 || module.FindFunction("forward") != nullptr;
  const int begin = first == 0 ? 0 : (needs_phases ? 1 : first + 1);
  const int end = last == 0 ? 0 : last + 1;
  if (has_budgets && (begin > 2 || end < 3)) {
    return UsageError(
        "--profile, --mlp-density and --head-density are for the way from 'model' to 'sparse', but the input is at '",
        module.stage(), "' and --compile-to is '", std::string(to), "'");
  }
  if (!batch.empty() && (begin > 3 || end < 3)) {
    return UsageError("--batch is for the way to 'sched', but the input is at '", module.stage(),
                      "' and --compile-to is '", std::string(to), "'");
  }
  std::vector<std::string> steps;
  for (int i = begin; i < std::min(end, 3); ++i) {
    steps.emplace_back(pipelines[static_cast<size_t>(i)]);
  }
  // When it is known what is sparse, as @decode is copied.
  for (const int64_t sequences : batch) {
    steps.push_back(absl::StrCat("batch-decode{sequences=", sequences, "}"));
  }
  if (begin < end && end == 4) {
    steps.emplace_back(pipelines[3]);
  }
  return absl::StrJoin(steps, ",");
}

}  // namespace dejavu
