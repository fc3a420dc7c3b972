#include "tools/driver/AllocationReport.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/driver/BarChart.h"
#include "tools/driver/ScatterChart.h"

namespace dejavu {
namespace {

using Json = nlohmann::json;

/// The member `key`, or null: a manifest's contract is whatever was written into it.
const Json& Member(const Json& json, const char* key) {
  static const Json null;
  return json.is_object() && json.contains(key) ? json[key] : null;
}

double Number(const Json& json, const char* key) {
  const Json& value = Member(json, key);
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

std::string Text(const Json& json, const char* key) {
  const Json& value = Member(json, key);
  return value.is_string() ? value.get<std::string>() : "";
}

/// Which series a tried artifact belongs to.
size_t SeriesOf(const Json& tried) {
  if (Text(tried, "name") != "allocation") {
    return 0;
  }
  return Member(tried, "held_out") == true ? 2 : 1;
}

std::string Curve(const Json& tried, const std::string& title, const char* x, double x_factor,
                  const std::string& x_label, const char* y, double y_factor, const std::string& y_label) {
  ScatterChart chart{.title = title,
                     .note =
                         "Beside the dense model, on the text that was given to choose by or, of what is shipped, "
                         "to judge by.",
                     .x_label = x_label,
                     .y_label = y_label,
                     .series = {{"one for all layers", {}}, {"layer by layer", {}}, {"the same, held-out text", {}}}};
  for (const Json& one : tried) {
    chart.series[SeriesOf(one)].points.push_back(
        {Number(one, x) * x_factor, Number(one, y) * y_factor, Text(one, "name")});
  }
  return RenderScatterChart(chart);
}

/// Prices that are bytes predict no time.
std::string LayerChart(const Json& layers, bool predicts) {
  const bool has_heads =
      std::any_of(layers.begin(), layers.end(), [](const Json& one) { return one.contains("heads"); });
  BarChart chart{.title = has_heads ? "Time of the layers" : "Time of the layers' MLPs and predictors",
                 .note = "As the dense model's, and what was chosen: measured in what is shipped, and as prices said.",
                 .x_label = "layer",
                 .y_label = "µs per token",
                 .categories = {},
                 .series = {{"dense", {}, {}}, {"measured", {}, {}}},
                 .high = std::nullopt};
  if (predicts) {
    chart.series.push_back({"predicted", {}, {}});
  }
  for (const Json& layer : layers) {
    chart.categories.push_back(absl::StrCat(chart.categories.size()));
    chart.series[0].values.push_back(Number(layer, "dense_us"));
    chart.series[1].values.push_back(Number(layer, "us"));
    if (predicts) {
      chart.series[2].values.push_back(Number(layer, "predicted_us"));
    }
  }
  return RenderBarChart(chart);
}

std::string LayerTable(const Json& layers) {
  std::string out =
      "<div class=\"scroll\"><table>\n<thead><tr><th>layer</th><th>predictor</th><th>of heads</th><th>damage, "
      "nats</th><th>predicted, "
      "µs</th><th>measured, µs</th><th>dense, µs</th><th>MB</th><th>dense, MB</th></tr></thead>\n<tbody>\n";
  int number = 0;
  for (const Json& layer : layers) {
    absl::StrAppendFormat(&out, "<tr><td>%d</td><td>%s</td><td>%s</td><td>%.2e</td>", number++,
                          EscapeHtml(Text(layer, "choice")), EscapeHtml(Text(layer, "heads")),
                          Number(layer, "damage_kl"));
    for (const char* key : {"predicted_us", "us", "dense_us"}) {
      absl::StrAppendFormat(&out, "<td>%.1f</td>", Number(layer, key));
    }
    absl::StrAppendFormat(&out, "<td>%.3f</td><td>%.3f</td></tr>\n", Number(layer, "bytes") / 1e6,
                          Number(layer, "dense_bytes") / 1e6);
  }
  return out + "</tbody></table></div>\n";
}

}  // namespace

std::string RenderAllocation(const Json& contract) {
  const Json& allocation = Member(contract, "allocation");
  const Json& tried = Member(allocation, "tried");
  const Json& layers = Member(allocation, "layers");
  if (!tried.is_array() || !layers.is_array() || tried.empty() || layers.empty()) {
    return "";
  }
  std::string out = "<h2>What the layers could have</h2>\n<p>Each layer chose its predictor by ";
  absl::StrAppend(&out, EscapeHtml(Text(allocation, "prices")),
                  " and by what it adds to the divergence, when this artifact was built under a contract.</p>\n");
  const char* const us = "us_per_token";
  const char* const bytes = "bytes_per_token";
  out += Curve(tried, "Perplexity against bytes", bytes, 1e-6, "MB per token", "ppl_increase", 100,
               "increase of the perplexity, %");
  out += Curve(tried, "Divergence against bytes", bytes, 1e-6, "MB per token", "kl", 1, "mean divergence, nats");
  out += Curve(tried, "Perplexity against time", us, 1e-3, "ms per token, launches one by one", "ppl_increase", 100,
               "increase of the perplexity, %");
  return out + LayerChart(layers, Text(allocation, "prices") == "time") + LayerTable(layers);
}

}  // namespace dejavu
