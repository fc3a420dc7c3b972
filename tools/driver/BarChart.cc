#include "tools/driver/BarChart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace dejavu {
namespace {

// In the drawing's own units.
constexpr double kPixelsWide = 760;
constexpr double kPixelsHigh = 260;
constexpr double kLeft = 64;
constexpr double kRight = 8;
constexpr double kTop = 10;
constexpr double kBottom = 46;
constexpr double kMaxGroupWidth = 64;
constexpr size_t kMaxLabels = 32;

class Drawing {
 public:
  explicit Drawing(const BarChart& chart) : chart_(chart) {
    high_ = chart.high.value_or(chart.low);
    for (size_t i = 0; i < chart.categories.size(); ++i) {
      double sum = 0;
      for (const BarSeries& series : chart.series) {
        const double value = std::isfinite(series.values[i]) ? series.values[i] : 0;
        sum = chart.stacked ? sum + value : std::max(sum, value);
        sum = series.intervals.empty() ? sum : std::max(sum, series.intervals[i].high);
      }
      high_ = std::max(high_, sum);
    }
    high_ = high_ > chart.low ? high_ : chart.low + 1;
    step_ = GridStep(high_ - chart.low);
    high_ = chart.low + std::ceil((high_ - chart.low) / step_ - 1e-9) * step_;
  }

  std::string Render() {
    absl::StrAppend(&out_, "<svg viewBox=\"0 0 ", kPixelsWide, " ", kPixelsHigh, "\" role=\"img\" aria-label=\"",
                    EscapeHtml(chart_.title), "\">\n");
    DrawGrid();
    for (size_t i = 0; i < chart_.categories.size(); ++i) {
      DrawGroup(i);
    }
    DrawAxis();
    return out_ + "</svg>\n";
  }

 private:
  double X(size_t category) const {
    return kLeft + (kPixelsWide - kLeft - kRight) * (static_cast<double>(category) + 0.5) /
                       static_cast<double>(chart_.categories.size());
  }
  double Y(double value) const {
    const double share = (std::clamp(value, chart_.low, high_) - chart_.low) / (high_ - chart_.low);
    return kPixelsHigh - kBottom - share * (kPixelsHigh - kBottom - kTop);
  }

  void Text(double x, double y, std::string_view attributes, const std::string& text) {
    absl::StrAppendFormat(&out_, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, std::string(attributes),
                          EscapeHtml(text));
  }

  void DrawGrid() {
    const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step_) + 1e-9)));
    for (int i = 0; chart_.low + i * step_ <= high_ + step_ / 2; ++i) {
      const double value = chart_.low + i * step_;
      absl::StrAppendFormat(&out_, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", kLeft,
                            kPixelsWide - kRight, Y(value), Y(value));
      Text(kLeft - 8, Y(value) + 4, "class=\"tick\" text-anchor=\"end\"", absl::StrFormat("%.*f", decimals, value));
    }
    const double middle = (kTop + kPixelsHigh - kBottom) / 2;
    Text(14, middle,
         absl::StrFormat("class=\"label\" text-anchor=\"middle\" transform=\"rotate(-90 14 %.1f)\"", middle),
         chart_.y_label);
  }

  void DrawGroup(size_t category) {
    const double room = (kPixelsWide - kLeft - kRight) / static_cast<double>(chart_.categories.size());
    const double group = std::min(room * 0.72, kMaxGroupWidth);
    const size_t bars = chart_.stacked ? 1 : chart_.series.size();
    const double width = group / static_cast<double>(bars);
    double base = chart_.low;
    for (size_t s = 0; s < chart_.series.size(); ++s) {
      const double value = chart_.series[s].values[category];
      if (!std::isfinite(value)) {
        continue;
      }
      const double x = X(category) - group / 2 + (chart_.stacked ? 0 : static_cast<double>(s) * width);
      const double top = chart_.stacked ? base + value : value;
      // A hair of the page between neighbours.
      const double gap = std::min(1.0, width / 6);
      absl::StrAppendFormat(
          &out_, "<rect class=\"s%d\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\"><title>%s</title></rect>\n",
          s + 1, x, Y(top), width - gap, std::max(0.0, Y(base) - Y(top)),
          EscapeHtml(absl::StrFormat("%s %s, %s: %.6g", chart_.x_label, chart_.categories[category],
                                     chart_.series[s].name, value)));
      if (!chart_.series[s].intervals.empty()) {
        DrawWhisker(x + (width - gap) / 2, chart_.series[s].intervals[category]);
      }
      base = chart_.stacked ? top : base;
    }
  }

  void DrawWhisker(double x, const Interval& interval) {
    absl::StrAppendFormat(&out_, "<path class=\"whisker\" d=\"M%.2f %.2fV%.2fm-3 0h6M%.2f %.2fh6\"/>\n", x,
                          Y(interval.low), Y(interval.high), x - 3, Y(interval.low));
  }

  void DrawAxis() {
    absl::StrAppendFormat(&out_, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", kLeft,
                          kPixelsWide - kRight, Y(chart_.low), Y(chart_.low));
    const size_t every = (chart_.categories.size() + kMaxLabels - 1) / kMaxLabels;
    for (size_t i = 0; i < chart_.categories.size(); i += every) {
      Text(X(i), kPixelsHigh - kBottom + 17, "class=\"tick\" text-anchor=\"middle\"", chart_.categories[i]);
    }
    Text((kLeft + kPixelsWide - kRight) / 2, kPixelsHigh - 8, "class=\"label\" text-anchor=\"middle\"", chart_.x_label);
  }

  const BarChart& chart_;
  double high_ = 0;
  double step_ = 1;
  std::string out_;
};

}  // namespace

const char* const kBarChartStyle = R"(figure { margin: 2em 0; break-inside: avoid; }
figcaption b { display: block; font-size: 1.05em; }
figcaption { color: var(--muted); }
figcaption b, .legend { color: var(--text); }
.legend { display: flex; flex-wrap: wrap; gap: 0.2em 1.2em; list-style: none; margin: 0.4em 0; padding: 0; }
.legend i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px; margin-right: 0.4em; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--muted); }
svg .label { fill: var(--text); }
svg .grid { stroke: var(--grid); }
svg .axis { stroke: var(--muted); }
svg .whisker { fill: none; stroke: var(--text); stroke-width: 1.3; }
svg .s1 { fill: var(--series-1); } .legend .s1 { background: var(--series-1); }
svg .s2 { fill: var(--series-2); } .legend .s2 { background: var(--series-2); }
svg .s3 { fill: var(--series-3); } .legend .s3 { background: var(--series-3); }
svg .s4 { fill: var(--series-4); } .legend .s4 { background: var(--series-4); }
)";

std::string RenderBarChart(const BarChart& chart) {
  std::string out = absl::StrCat("<figure>\n<figcaption><b>", EscapeHtml(chart.title), "</b> ", EscapeHtml(chart.note),
                                 "</figcaption>\n");
  if (chart.series.size() > 1) {
    out += "<ul class=\"legend\">";
    for (size_t i = 0; i < chart.series.size(); ++i) {
      absl::StrAppend(&out, "<li><i class=\"s", i + 1, "\"></i>", EscapeHtml(chart.series[i].name), "</li>");
    }
    out += "</ul>\n";
  }
  return out + Drawing(chart).Render() + "</figure>\n";
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

double GridStep(double range) {
  const double power = std::pow(10, std::floor(std::log10(range)) - 1);
  for (const double step : {1.0, 2.0, 5.0, 10.0, 20.0, 50.0}) {
    if (range <= 6 * step * power * (1 + 1e-9)) {
      return step * power;
    }
  }
  return 100 * power;
}

}  // namespace dejavu
