// The HTML page: what it holds, and that nothing in it can break out of its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tools/driver/BarChart.h"
#include "tools/driver/Report.h"

namespace dejavu {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

EvalResult TwoLayers() {
  EvalResult result;
  Evaluation text;
  text.ppl = 20;
  text.tokens = 10;
  text.windows = 2;
  text.mlp_density = {0.1, 1};
  text.head_density = {1, 0.5};
  text.mlp_activity = {0.05, 0.2};
  text.costs.layers = {{{1e6, 10}, {2e6, 20}, {3e5, 3}}, {{1e6, 10}, {4e6, 40}, {}}};
  text.against = Comparison();
  text.against->mlp_activity = {0.06, 0.2};
  text.against->mlp_recall = {0.83, 1};
  text.against->mlp_recall_mass = {0.97, 1};
  text.against->mlp_precision = {0.5, 0.2};
  text.against->head_recall = {1, 0.912};
  result.text = text;
  IclScore score;
  score.trials = 4;
  result.icl = {{"copy", "what", score, {score}}};
  return result;
}

TEST(Report, HasAPlotForEverythingByLayer) {
  const std::string page = RenderReport(TwoLayers(), {"a.dejavu", "exact", "b.dejavu", "t.txt", "opt", "cpu"});
  EXPECT_EQ(Count(page, "<svg"), 7U);
  EXPECT_EQ(Count(page, "<svg"), Count(page, "</svg>"));
  for (const char* part :
       {"Neurons: active and computed", "Heads computed", "Recall of active neurons", "Bytes read and written",
        "Time of the launches", "layer 1, computed: 50", "83.000 %", "layer 1, their recall: 91.2", "91.200 %"}) {
    EXPECT_THAT(page, HasSubstr(part));
  }
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("http")));
}

TEST(Report, EscapesNames) {
  const std::string page = RenderReport(TwoLayers(), {"<i>&\"", "<b>", "<u>", "<s>", "<h1>\x01", "<em>"});
  for (const char* tag : {"<i>&", "<b>,", "<u>", "<s>", "<em>", "\x01"}) {
    EXPECT_THAT(page, Not(HasSubstr(tag)));
  }
  EXPECT_THAT(page, HasSubstr("&lt;i&gt;&amp;&quot;"));
}

TEST(Report, SaysWhyRecallIsMissing) {
  EvalResult result = TwoLayers();
  result.text->against.reset();
  result.icl.clear();
  const std::string page = RenderReport(result, {"a.dejavu", "exact", "", "t.txt", "opt", "cpu"});
  EXPECT_THAT(page, HasSubstr("needs a dense model to compare with"));
  EXPECT_EQ(Count(page, "<svg"), 4U);
}

TEST(Report, ShowsWhatAContractTried) {
  ReportNames names = {"a.dejavu", "predicted", "", "t.txt", "opt", "cpu"};
  names.contract = {{"allocation",
                     {{"prices", "time"},
                      {"layers",
                       {{{"choice", "copy/3/128/1"}, {"us", 5.0}, {"dense_us", 9.0}, {"predicted_us", 4.5}},
                        {{"choice", "<dense>"}, {"us", 9.0}, {"dense_us", 9.0}}}},
                      {"tried",
                       {{{"name", "copy/2/32/0"}, {"kl", 0.1}, {"ppl_increase", 0.05}, {"bytes_per_token", 2e6}},
                        {{"name", "allocation"},
                         {"kl", 0.01},
                         {"ppl_increase", -0.01},
                         {"bytes_per_token", 3e6},
                         {"us_per_token", 1000},
                         {"held_out", true}}}}}}};
  const std::string page = RenderReport(TwoLayers(), names);
  EXPECT_EQ(Count(page, "<svg"), 7U + 4);
  EXPECT_EQ(Count(page, "<circle"), 2U + 2 + 1) << "what has no time has no place on its axis";
  EXPECT_THAT(page, HasSubstr("copy/2/32/0: MB per token 2, increase of the perplexity, % 5"));
  EXPECT_THAT(page, HasSubstr("<td>copy/3/128/1</td>"));
  EXPECT_THAT(page, HasSubstr("&lt;dense&gt;"));
  names.contract = {{"allocation", {{"layers", 3}, {"tried", "x"}}}};
  EXPECT_EQ(Count(RenderReport(TwoLayers(), names), "<svg"), 7U) << "what is no allocation is left out";
}

TEST(BarChart, HasABarForEachValueAndALimitedAxis) {
  BarChart chart;
  chart.title = "t";
  chart.x_label = "layer";
  chart.y_label = "%";
  chart.series = {{"a", {}, {}}};
  for (int i = 0; i < 96; ++i) {
    chart.categories.push_back(std::to_string(i));
    chart.series[0].values.push_back(i == 5 ? std::nan("") : i);
  }
  const std::string svg = RenderBarChart(chart);
  EXPECT_EQ(Count(svg, "<rect"), 95U);
  EXPECT_LE(Count(svg, "class=\"tick\""), 40U) << "labels must not run into each other";
  EXPECT_EQ(Count(svg, "nan"), 0U);
}

TEST(GridStep, CutsARangeIntoAFewRoundParts) {
  for (double range = 1e-7; range < 1e9; range *= 1.37) {
    const double step = GridStep(range);
    EXPECT_LE(range / step, 6.001) << range;
    EXPECT_GT(range / step, 2) << range;
  }
  EXPECT_DOUBLE_EQ(GridStep(100), 20);
}

}  // namespace
}  // namespace dejavu
