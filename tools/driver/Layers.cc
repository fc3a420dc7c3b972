#include "tools/driver/Layers.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace dejavu {
namespace {

enum class Part { kRest, kAttention, kMlp };

struct Role {
  int64_t layer = -1;
  Part part = Part::kRest;
};

/// The number in `name` after `prefix`, or -1.
int64_t NumberAfter(std::string_view prefix, std::string_view name) {
  int64_t number = -1;
  if (!name.starts_with(prefix)) {
    return -1;
  }
  const std::string_view digits = name.substr(prefix.size());
  const auto end = std::find(digits.begin(), digits.end(), '.');
  return absl::SimpleAtoi(absl::string_view(digits.data(), static_cast<size_t>(end - digits.begin())), &number) ? number
                                                                                                                : -1;
}

/// What a weight says: "layers.3.mlp.fc1", or the norm in front of a block, two of which are in each layer.
Role RoleOfWeight(std::string_view name) {
  const int64_t layer = NumberAfter("layers.", name);
  if (layer >= 0) {
    return {layer, absl::StrContains(std::string(name), ".mlp.") ? Part::kMlp : Part::kAttention};
  }
  const int64_t norm = NumberAfter("norms.", name);
  return norm < 0 ? Role() : Role{norm / 2, norm % 2 == 0 ? Part::kAttention : Part::kMlp};
}

Role RoleOf(const Plan& plan, const ModelInfo& model, const Launch& launch) {
  Role role;
  if (launch.layer >= 0) {
    role = {launch.layer, launch.heads > 0 ? Part::kAttention : Part::kMlp};
  }
  for (const BufferRef& arg : launch.args) {
    if (role.layer >= 0) {
      break;
    }
    if (arg.kind == BufferRef::Kind::kCache) {
      role = {arg.value, Part::kAttention};
    } else if (arg.kind == BufferRef::Kind::kWeight) {
      role = RoleOfWeight(plan.weights[static_cast<size_t>(arg.value)]);
    }
  }
  return role.layer < model.layers ? role : Role();
}

/// The name of the matrix `name`, or of one that was derived from it, if the launch reads such a one; else empty.
std::string MatrixOf(const Plan& plan, const Launch& launch, const std::string& name) {
  for (const BufferRef& arg : launch.args) {
    if (arg.kind == BufferRef::Kind::kWeight) {
      const std::string& weight = plan.weights[static_cast<size_t>(arg.value)];
      if (weight == name || weight.starts_with(name + ".")) {
        return weight;
      }
    }
  }
  return "";
}

}  // namespace

TokenCosts CostsByLayer(const Plan& plan, const ModelInfo& model, const Statistics& statistics,
                        std::span<const double> microseconds) {
  TokenCosts costs;
  costs.layers.resize(static_cast<size_t>(model.layers));
  for (size_t i = 0; i < statistics.launches().size(); ++i) {
    const LaunchTotals& totals = statistics.launches()[i];
    const Role role = RoleOf(plan, model, *totals.launch);
    const auto calls = static_cast<double>(std::max<int64_t>(totals.calls, 1));
    const auto add = [&](Cost& cost) {
      cost.bytes += static_cast<double>(totals.bytes) / calls;
      cost.microseconds += microseconds[i];
    };
    Cost* cost = &costs.rest;
    if (role.layer >= 0) {
      LayerCosts& layer = costs.layers[static_cast<size_t>(role.layer)];
      cost = totals.launch->predictor ? &layer.predictors : (role.part == Part::kMlp ? &layer.mlp : &layer.attention);
      if (totals.launch->predictor && role.part == Part::kAttention) {
        add(layer.head_predictors);
      }
    }
    add(*cost);
  }
  return costs;
}

Cost TotalCost(const TokenCosts& costs) {
  Cost total = costs.rest;
  for (const LayerCosts& layer : costs.layers) {
    for (const Cost& cost : {layer.attention, layer.mlp, layer.predictors}) {
      total.bytes += cost.bytes;
      total.microseconds += cost.microseconds;
    }
  }
  return total;
}

std::vector<NeuronValues> FindNeuronValues(const Plan& plan, const ModelInfo& model) {
  std::vector<NeuronValues> values(static_cast<size_t>(model.layers));
  const std::vector<Launch>& launches = plan.FindFunction("decode")->launches;
  for (size_t i = 0; i < launches.size(); ++i) {
    const Launch& launch = launches[i];
    const Role role = RoleOf(plan, model, launch);
    if (role.layer < 0) {
      continue;
    }
    NeuronValues& value = values[static_cast<size_t>(role.layer)];
    if (launch.per_positive.has_value()) {
      value = {i, static_cast<size_t>(launch.per_positive->h), static_cast<size_t>(launch.per_positive->active), true};
    } else if (launch.kernel == "sparse_fc2" && launch.per_active.has_value()) {
      // One that reads all listed rows, positive or not.
      value = {i, 0, static_cast<size_t>(launch.per_active->arg), true};
    } else if (launch.kernel == "linear" &&
               !MatrixOf(plan, launch, absl::StrCat("layers.", role.layer, ".mlp.fc2")).empty()) {
      value = {i, 0, 0, true};
    }
  }
  return values;
}

std::vector<HeadValues> FindHeadValues(const Plan& plan, const ModelInfo& model) {
  std::vector<HeadValues> values(static_cast<size_t>(model.layers));
  const std::vector<Launch>& launches = plan.FindFunction("decode")->launches;
  for (size_t i = 0; i < launches.size(); ++i) {
    const Launch& launch = launches[i];
    const Role role = RoleOf(plan, model, launch);
    const bool lists = launch.kernel == "sparse_out" && launch.per_active.has_value();
    if (role.layer < 0 || (launch.kernel != "linear" && !lists)) {
      continue;
    }
    const std::string weight = MatrixOf(plan, launch, absl::StrCat("layers.", role.layer, ".attention.out"));
    if (!weight.empty()) {
      const size_t list = lists ? static_cast<size_t>(launch.per_active->arg) : 0;
      values[static_cast<size_t>(role.layer)] = {i, 0, list, weight, true};
    }
  }
  return values;
}

}  // namespace dejavu
