#include "tools/driver/EvalOutput.h"

#include <numeric>
#include <ostream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/driver/Distribution.h"

namespace dejavu {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson EndsJson(const std::optional<Interval>& interval) {
  return interval.has_value() ? OrderedJson::array({interval->low, interval->high}) : OrderedJson();
}

/// By layer, predictors included.
void AddLayerBytes(const TokenCosts& costs, OrderedJson& json) {
  json["mlp_bytes"] = OrderedJson::array();
  json["attention_bytes"] = OrderedJson::array();
  for (const LayerCosts& layer : costs.layers) {
    json["mlp_bytes"].push_back(layer.mlp.bytes + layer.predictors.bytes - layer.head_predictors.bytes);
    json["attention_bytes"].push_back(layer.attention.bytes + layer.head_predictors.bytes);
  }
}

void AddText(const Evaluation& text, OrderedJson& json) {
  json["ppl"] = text.ppl;
  json["nll"] = text.nll;
  json["tokens"] = text.tokens;
  json["mlp_density"] = text.mlp_density;
  json["head_density"] = text.head_density;
  json["mlp_activity"] = text.mlp_activity;
  json["bytes_per_token"] = text.bytes_per_token;
  json["predictor_bytes_per_token"] = text.predictor_bytes_per_token;
  AddLayerBytes(text.costs, json);
  if (text.against.has_value()) {
    const Comparison& against = *text.against;
    json["against"] = {{"ppl", against.ppl},
                       {"ppl_ratio", against.ppl_ratio},
                       {"ppl_ratio_interval", EndsJson(against.ppl_ratio_interval)},
                       {"kl_mean", against.kl_mean},
                       {"kl_mean_interval", EndsJson(against.kl_interval)},
                       {"kl_p99", against.kl_p99},
                       {"top1_agreement", against.top1_agreement},
                       {"mlp_activity", against.mlp_activity},
                       {"mlp_recall", against.mlp_recall},
                       {"mlp_recall_mass", against.mlp_recall_mass},
                       {"mlp_precision", against.mlp_precision},
                       {"head_recall", against.head_recall},
                       {"bytes_per_token", against.bytes_per_token}};
    AddLayerBytes(against.costs, json["against"]);
  }
}

OrderedJson ScoreJson(const IclScore& score) {
  OrderedJson json;
  if (score.shots >= 0) {
    json["shots"] = score.shots;
  }
  json["trials"] = score.trials;
  for (const auto& [name, shares] : {std::pair<std::string, const IclShares&>("accuracy", score.accuracy),
                                     std::pair<std::string, const IclShares&>("choice", score.choice)}) {
    json[name] = shares.model.value;
    json[name + "_interval"] = EndsJson(shares.model);
    if (shares.reference.has_value()) {
      OrderedJson& against = json["against"];
      against[name] = shares.reference->value;
      against[name + "_interval"] = EndsJson(shares.reference);
      against[name + "_drop"] = shares.drop->value;
      against[name + "_drop_interval"] = EndsJson(shares.drop);
    }
  }
  return json;
}

/// "25.1 (22.0 to 28.4)", each number as wide as 100.0 or, of a difference, as -10.0.
std::string PercentInterval(const Interval& interval) {
  return absl::StrFormat("%5.1f (%5.1f to %5.1f)", interval.value * 100, interval.low * 100, interval.high * 100);
}

void PrintScore(const std::string& name, const IclScore& score, std::ostream& out) {
  out << absl::StreamFormat("%-8s%6s%9d", name, score.shots < 0 ? "all" : absl::StrCat(score.shots), score.trials);
  for (const IclShares* shares : {&score.accuracy, &score.choice}) {
    out << "   " << PercentInterval(shares->model);
    if (shares->drop.has_value()) {
      out << "   " << PercentInterval(*shares->drop);
    }
  }
  out << "\n";
}

void PrintIcl(const EvalResult& result, std::ostream& out) {
  const char* drop = result.icl[0].all.accuracy.drop.has_value() ? "   less than the other   " : "";
  out << absl::StreamFormat("%-8s%6s%9s   %-22s%s   %-22s%s\n", "task", "shots", "answers", "likeliest of all, %", drop,
                            "of those seen, %", drop);
  for (const IclResult& task : result.icl) {
    PrintScore(task.task, task.all, out);
    for (const IclScore& score : task.by_shots) {
      PrintScore("", score, out);
    }
  }
  out << absl::StreamFormat("%d sequences of each task, seed %d; in brackets: 95%% intervals\n",
                            result.icl_options.sequences, result.icl_options.seed);
}

/// In percent. What is compared is beside what is compared with.
void PrintLayers(const Evaluation& text, std::ostream& out) {
  const bool compares = text.against.has_value() && !text.against->mlp_recall.empty();
  out << "\nlayer  heads, %  MLP, %  above 0, %"
      << (compares ? "  of the other, %  recall, %  by value, %  precision, %  heads' recall, %" : "") << "\n";
  for (size_t layer = 0; layer < text.mlp_density.size(); ++layer) {
    out << absl::StreamFormat("%5d%10.2f%8.2f%12.2f", layer, text.head_density[layer] * 100,
                              text.mlp_density[layer] * 100, text.mlp_activity[layer] * 100);
    if (compares) {
      const Comparison& against = *text.against;
      out << absl::StreamFormat("%17.2f%11.3f%13.3f%14.2f%18.3f", against.mlp_activity[layer] * 100,
                                against.mlp_recall[layer] * 100, against.mlp_recall_mass[layer] * 100,
                                against.mlp_precision[layer] * 100, against.head_recall[layer] * 100);
    }
    out << "\n";
  }
}

void PrintText(const Evaluation& text, std::ostream& out) {
  const auto line = [&](const char* name, const std::string& value) {
    out << absl::StreamFormat("%-22s%s\n", name, value);
  };
  line("perplexity", absl::StrFormat("%.4f", text.ppl));
  line("nll", absl::StrFormat("%.6f nats", text.nll));
  line("tokens", absl::StrFormat("%d (%d windows)", text.tokens, text.windows));
  line("bytes per token", absl::StrFormat("%.3f MB", text.bytes_per_token / 1e6));
  line("  of them predictors", absl::StrFormat("%.3f MB", text.predictor_bytes_per_token / 1e6));
  line("MLP density", absl::StrFormat("%.2f %%", Mean(text.mlp_density) * 100));
  line("head density", absl::StrFormat("%.2f %%", Mean(text.head_density) * 100));
  if (text.against.has_value()) {
    const Comparison& against = *text.against;
    const std::optional<Interval>& ratio = against.ppl_ratio_interval;
    line("against: perplexity", absl::StrFormat("%.4f", against.ppl));
    line("  ratio to it", absl::StrFormat("%.5f", against.ppl_ratio) +
                              (ratio ? absl::StrFormat(" (95%% interval %.5f to %.5f)", ratio->low, ratio->high)
                                     : " (one window has no interval)"));
    line("  mean KL", absl::StrFormat("%.3e nats", against.kl_mean));
    line("  99th percentile KL", absl::StrFormat("%.3e nats", against.kl_p99));
    line("  same top token", absl::StrFormat("%.3f %%", against.top1_agreement * 100));
  }
  PrintLayers(text, out);
}

}  // namespace

OrderedJson EvalJson(const EvalResult& result) {
  OrderedJson json = OrderedJson::object();
  if (result.text.has_value()) {
    AddText(*result.text, json);
  }
  if (!result.icl.empty()) {
    OrderedJson tasks = OrderedJson::array();
    for (const IclResult& task : result.icl) {
      OrderedJson entry = {{"task", task.task}};
      entry.update(ScoreJson(task.all));
      for (const IclScore& score : task.by_shots) {
        entry["by_shots"].push_back(ScoreJson(score));
      }
      tasks.push_back(std::move(entry));
    }
    json["icl"] = {
        {"seed", result.icl_options.seed}, {"sequences", result.icl_options.sequences}, {"tasks", std::move(tasks)}};
  }
  return json;
}

void PrintEval(const EvalResult& result, std::ostream& out) {
  if (result.text.has_value()) {
    PrintText(*result.text, out);
  }
  if (!result.icl.empty()) {
    out << (result.text.has_value() ? "\n" : "");
    PrintIcl(result, out);
  }
}

}  // namespace dejavu
