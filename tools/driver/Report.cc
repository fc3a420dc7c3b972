#include "tools/driver/Report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/driver/AllocationReport.h"
#include "tools/driver/BarChart.h"
#include "tools/driver/Distribution.h"

namespace dejavu {
namespace {

constexpr char kStyle[] = R"(:root { color-scheme: light dark; --page: #fcfcfb; --text: #14140f; --muted: #5b5a55;
  --grid: #e3e2dd; --series-1: #2a6fc9; --series-2: #d9772b; --series-3: #3a9a77; --series-4: #8a63b8; }
@media (prefers-color-scheme: dark) { :root { --page: #161615; --text: #f3f2ee; --muted: #b0aea6; --grid: #34332f;
  --series-1: #5b9bea; --series-2: #e59050; --series-3: #4fb48f; --series-4: #a987d2; } }
@media print { :root { color-scheme: light; --page: #fff; --text: #000; --muted: #444; --grid: #ddd;
  --series-1: #2a6fc9; --series-2: #d9772b; --series-3: #3a9a77; --series-4: #8a63b8; }
  svg rect, .legend i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
body { margin: 0 auto; max-width: 50em; padding: 1.5em; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6em; margin: 0 0 0.2em; } h2 { font-size: 1.2em; margin: 2em 0 0.5em; }
p { color: var(--muted); margin: 0.3em 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2em 0.8em 0.2em 0; font-size: 0.92em; text-align: right; border-bottom: 1px solid var(--grid); font-weight: normal; }
td { white-space: nowrap; } th { overflow-wrap: normal; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--muted); vertical-align: bottom; }
tr { break-inside: avoid; }
)";

using Row = std::vector<std::string>;

std::string Table(const Row& head, const std::vector<Row>& rows) {
  std::string out = "<div class=\"scroll\"><table>\n";
  const auto add = [&](const Row& row, const char* tag) {
    out += "<tr>";
    for (const std::string& cell : row) {
      absl::StrAppend(&out, "<", tag, ">", EscapeHtml(cell), "</", tag, ">");
    }
    out += "</tr>\n";
  };
  if (!head.empty()) {
    out += "<thead>";
    add(head, "th");
    out += "</thead>\n";
  }
  out += "<tbody>\n";
  for (const Row& row : rows) {
    add(row, "td");
  }
  return out + "</tbody></table></div>\n";
}

std::string Percent(double share) { return absl::StrFormat("%.2f %%", share * 100); }

std::vector<double> Scaled(const std::vector<double>& values, double factor) {
  std::vector<double> scaled;
  for (const double value : values) {
    scaled.push_back(value * factor);
  }
  return scaled;
}

std::vector<std::string> LayerNames(size_t layers) {
  std::vector<std::string> names;
  for (size_t layer = 0; layer < layers; ++layer) {
    names.push_back(absl::StrCat(layer));
  }
  return names;
}

std::string Totals(const Evaluation& text) {
  std::vector<Row> rows = {{"Perplexity", absl::StrFormat("%.4f", text.ppl)},
                           {"Tokens scored", absl::StrFormat("%d in %d windows", text.tokens, text.windows)},
                           {"Bytes per token", absl::StrFormat("%.3f MB", text.bytes_per_token / 1e6)},
                           {"of them predictors", absl::StrFormat("%.3f MB", text.predictor_bytes_per_token / 1e6)},
                           {"Neurons computed, mean of the layers", Percent(Mean(text.mlp_density))},
                           {"Heads computed, mean of the layers", Percent(Mean(text.head_density))}};
  if (text.timed) {
    rows.push_back({"Time of the launches, one after the other",
                    absl::StrFormat("%.3f ms per token", TotalCost(text.costs).microseconds / 1e3)});
  }
  if (text.against.has_value()) {
    const Comparison& against = *text.against;
    rows.push_back({"Perplexity of the other", absl::StrFormat("%.4f", against.ppl)});
    std::string ratio = absl::StrFormat("%.5f", against.ppl_ratio);
    if (against.ppl_ratio_interval.has_value()) {
      absl::StrAppendFormat(&ratio, ", 95 %% interval %.5f to %.5f", against.ppl_ratio_interval->low,
                            against.ppl_ratio_interval->high);
    }
    rows.push_back({"Ratio to it", ratio});
    rows.push_back({"Divergence from it, mean", absl::StrFormat("%.3e nats", against.kl_mean)});
    rows.push_back({"99th percentile", absl::StrFormat("%.3e nats", against.kl_p99)});
    rows.push_back({"Same likeliest token", absl::StrFormat("%.3f %%", against.top1_agreement * 100)});
  }
  return "<h2>Totals</h2>\n" + Table({}, rows);
}

/// Where an axis may begin that ends at 100 %: at the next ten below, as differences near 100 % matter.
double LowEnd(const std::vector<double>& percents) {
  const double lowest = *std::min_element(percents.begin(), percents.end());
  return lowest >= 99 ? 99 : std::floor(lowest / 10) * 10;
}

std::string ActivityCharts(const Evaluation& text) {
  const std::vector<std::string> layers = LayerNames(text.mlp_density.size());
  const bool compares = text.against.has_value() && !text.against->mlp_recall.empty();
  std::string out = RenderBarChart(
      {.title = "Neurons: active and computed",
       .note = compares ? "Active: above 0 after ReLU in the model compared with. Computed: in this model's list."
                        : "Active: above 0 after ReLU, of those computed. Computed: in the list.",
       .x_label = "layer",
       .y_label = "share of the layer's neurons, %",
       .categories = layers,
       .series = {{"active", Scaled(compares ? text.against->mlp_activity : text.mlp_activity, 100), {}},
                  {"computed", Scaled(text.mlp_density, 100), {}}},
       .high = std::nullopt});
  BarChart heads = {.title = "Heads computed",
                    .note = "",
                    .x_label = "layer",
                    .y_label = "share of the layer's heads, %",
                    .categories = layers,
                    .series = {{"computed", Scaled(text.head_density, 100), {}}},
                    .high = 100};
  if (compares) {
    heads.note = "Their recall: of the energy that all heads add in the model compared with, the share of these.";
    heads.series.push_back({"their recall", Scaled(text.against->head_recall, 100), {}});
  }
  out += RenderBarChart(heads);
  if (!compares) {
    return out + "<p>Recall needs a dense model to compare with: --against.</p>\n";
  }
  const std::vector<double> counted = Scaled(text.against->mlp_recall, 100);
  const std::vector<double> weighted = Scaled(text.against->mlp_recall_mass, 100);
  return out +
         RenderBarChart({.title = "Recall of active neurons",
                         .note = "Of the neurons active in the model compared with: those that this one computed, "
                                 "counted and weighted by their values. The axis may begin above 0.",
                         .x_label = "layer",
                         .y_label = "share of the active neurons, %",
                         .categories = layers,
                         .series = {{"counted", counted, {}}, {"by value", weighted, {}}},
                         .low = std::min(LowEnd(counted), LowEnd(weighted)),
                         .high = 100});
}

std::string CostChart(const TokenCosts& costs, const std::string& title, const std::string& y_label,
                      double Cost::* field, double factor) {
  BarChart chart;
  chart.title = title;
  const double total = TotalCost(costs).*field;
  chart.note = absl::StrFormat("Of all, %.1f %% belong to no layer: embeddings and the output layer.",
                               total > 0 ? costs.rest.*field / total * 100 : 0);
  chart.x_label = "layer";
  chart.y_label = y_label;
  chart.categories = LayerNames(costs.layers.size());
  chart.stacked = true;
  chart.series = {{"attention", {}, {}}, {"MLP", {}, {}}, {"predictors", {}, {}}};
  for (const LayerCosts& layer : costs.layers) {
    chart.series[0].values.push_back(layer.attention.*field * factor);
    chart.series[1].values.push_back(layer.mlp.*field * factor);
    chart.series[2].values.push_back(layer.predictors.*field * factor);
  }
  return RenderBarChart(chart);
}

std::string LayerTable(const Evaluation& text) {
  const bool compares = text.against.has_value() && !text.against->mlp_recall.empty();
  Row head = {"layer", "heads computed", "neurons computed", "above 0 of these"};
  if (compares) {
    head.insert(head.end(), {"active in the other", "recall", "recall by value", "precision", "heads' recall"});
  }
  head.insert(head.end(), {"MB per token", "predictors, MB"});
  if (text.timed) {
    head.emplace_back("µs per token");
  }
  std::vector<Row> rows;
  for (size_t i = 0; i < text.mlp_density.size(); ++i) {
    const LayerCosts& costs = text.costs.layers[i];
    Row row = {absl::StrCat(i), Percent(text.head_density[i]), Percent(text.mlp_density[i]),
               Percent(text.mlp_activity[i])};
    if (compares) {
      const Comparison& against = *text.against;
      row.insert(row.end(),
                 {Percent(against.mlp_activity[i]), absl::StrFormat("%.3f %%", against.mlp_recall[i] * 100),
                  absl::StrFormat("%.3f %%", against.mlp_recall_mass[i] * 100), Percent(against.mlp_precision[i]),
                  absl::StrFormat("%.3f %%", against.head_recall[i] * 100)});
    }
    const double bytes = costs.attention.bytes + costs.mlp.bytes + costs.predictors.bytes;
    const double time = costs.attention.microseconds + costs.mlp.microseconds + costs.predictors.microseconds;
    row.insert(row.end(),
               {absl::StrFormat("%.3f", bytes / 1e6), absl::StrFormat("%.3f", costs.predictors.bytes / 1e6)});
    if (text.timed) {
      row.push_back(absl::StrFormat("%.1f", time));
    }
    rows.push_back(std::move(row));
  }
  return "<h2>All layers</h2>\n" + Table(head, rows);
}

Interval InPercent(const Interval& interval) { return {interval.value * 100, interval.low * 100, interval.high * 100}; }

/// The choices among the ids seen: more of them are right than of all ids, so they show more.
std::string IclChart(const std::string& title, const std::string& note, const std::string& x_label,
                     const std::vector<std::string>& names, const std::vector<const IclScore*>& scores) {
  BarChart chart{.title = title,
                 .note = note,
                 .x_label = x_label,
                 .y_label = "right answers, %",
                 .categories = names,
                 .series = {{"this model", {}, {}}},
                 .high = std::nullopt};
  if (scores[0]->choice.reference.has_value()) {
    chart.series.push_back({"compared with", {}, {}});
  }
  for (const IclScore* score : scores) {
    chart.series[0].values.push_back(score->choice.model.value * 100);
    chart.series[0].intervals.push_back(InPercent(score->choice.model));
    if (score->choice.reference.has_value()) {
      chart.series[1].values.push_back(score->choice.reference->value * 100);
      chart.series[1].intervals.push_back(InPercent(*score->choice.reference));
    }
  }
  return RenderBarChart(chart);
}

std::string IclTable(const std::vector<IclResult>& tasks) {
  const bool compares = tasks[0].all.accuracy.drop.has_value();
  Row head = {"task", "examples", "answers", "likeliest of all ids, %"};
  head.insert(head.end(), compares ? 2 : 1, "likeliest of those seen, %");
  if (compares) {
    head[4] = "less than the other, points";
    head.emplace_back("less than the other, points");
  }
  const auto cell = [](const Interval& interval) {
    return absl::StrFormat("%.1f (%.1f to %.1f)", interval.value * 100, interval.low * 100, interval.high * 100);
  };
  std::vector<Row> rows;
  const auto add = [&](const IclResult& task, const IclScore& score) {
    Row row = {task.task, score.shots < 0 ? "all" : absl::StrCat(score.shots), absl::StrCat(score.trials)};
    for (const IclShares* shares : {&score.accuracy, &score.choice}) {
      row.push_back(cell(shares->model));
      if (shares->drop.has_value()) {
        row.push_back(cell(*shares->drop));
      }
    }
    rows.push_back(std::move(row));
  };
  for (const IclResult& task : tasks) {
    add(task, task.all);
    for (const IclScore& score : task.by_shots) {
      add(task, score);
    }
  }
  return Table(head, rows);
}

std::string IclSection(const EvalResult& result) {
  std::string out = "<h2>In-context learning</h2>\n";
  absl::StrAppend(&out, "<p>Tasks of random token ids, ", result.icl_options.sequences, " sequences of each from seed ",
                  result.icl_options.seed,
                  "; an answer is right if it is the likeliest of the ids in the sequence so far. Whiskers are 95 % "
                  "intervals.</p>\n");
  std::vector<std::string> names;
  std::vector<const IclScore*> scores;
  for (const IclResult& task : result.icl) {
    names.push_back(task.task);
    scores.push_back(&task.all);
  }
  out += IclChart("All tasks", "All answers, whatever the number of examples before.", "task", names, scores);
  for (const IclResult& task : result.icl) {
    names.clear();
    scores.clear();
    for (const IclScore& score : task.by_shots) {
      names.push_back(absl::StrCat(score.shots));
      scores.push_back(&score);
    }
    if (!scores.empty()) {
      out += IclChart(task.task, task.what, "examples before", names, scores);
    }
  }
  return out + IclTable(result.icl);
}

}  // namespace

std::string RenderReport(const EvalResult& result, const ReportNames& names) {
  const std::string title = EscapeHtml(absl::StrCat(names.model, ", ", names.sparsity));
  std::string out = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
      title, "</title>\n<style>\n", kStyle, kBarChartStyle, "</style>\n</head>\n<body>\n<h1>", title, "</h1>\n<p>",
      EscapeHtml(names.artifact), names.against.empty() ? "" : " compared with ", EscapeHtml(names.against));
  absl::StrAppend(&out, names.text.empty() ? "" : " on ", EscapeHtml(names.text), ", ", EscapeHtml(names.device),
                  "; decoded token by token</p>\n");
  if (result.text.has_value()) {
    const Evaluation& text = *result.text;
    out += Totals(text) + "<h2>By layer</h2>\n" + ActivityCharts(text);
    out += CostChart(text.costs, "Bytes read and written", "MB per token", &Cost::bytes, 1e-6);
    if (text.timed) {
      out += CostChart(text.costs, "Time of the launches, one after the other", "µs per token", &Cost::microseconds, 1);
    }
    out += LayerTable(text);
  }
  out += RenderAllocation(names.contract);
  if (!result.icl.empty()) {
    out += IclSection(result);
  }
  return out + "</body>\n</html>\n";
}

}  // namespace dejavu
