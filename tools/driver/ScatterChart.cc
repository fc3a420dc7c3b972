#include "tools/driver/ScatterChart.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/driver/BarChart.h"

namespace dejavu {
namespace {

// In the drawing's own units.
constexpr double kPixelsWide = 760;
constexpr double kPixelsHigh = 300;
constexpr double kLeft = 64;
constexpr double kRight = 16;
constexpr double kTop = 10;
constexpr double kBottom = 46;

/// Round numbers around values.
class Axis {
 public:
  void Include(double value) {
    low_ = any_ ? std::min(low_, value) : value;
    high_ = any_ ? std::max(high_, value) : value;
    any_ = true;
  }
  void Round() {
    const double range = high_ - low_;
    step_ = GridStep(range > 0 ? range : std::max(std::abs(high_), 1.0));
    low_ = std::floor(low_ / step_) * step_;
    high_ = std::max(std::ceil(high_ / step_) * step_, low_ + step_);
  }
  [[nodiscard]] double Share(double value) const { return (value - low_) / (high_ - low_); }
  /// The values of gridlines.
  [[nodiscard]] std::vector<double> Lines() const {
    std::vector<double> lines;
    for (int i = 0; low_ + i * step_ <= high_ + step_ / 2; ++i) {
      lines.push_back(low_ + i * step_);
    }
    return lines;
  }
  [[nodiscard]] std::string Text(double value) const {
    const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step_) + 1e-9)));
    return absl::StrFormat("%.*f", decimals, value == 0 ? 0 : value);
  }

 private:
  bool any_ = false;
  double low_ = 0;
  double high_ = 1;
  double step_ = 1;
};

bool IsDrawn(const ScatterPoint& point) { return std::isfinite(point.x) && std::isfinite(point.y); }

class Drawing {
 public:
  explicit Drawing(const ScatterChart& chart) : chart_(chart) {
    for (const ScatterSeries& series : chart.series) {
      for (const ScatterPoint& point : series.points) {
        if (IsDrawn(point)) {
          x_.Include(point.x);
          y_.Include(point.y);
        }
      }
    }
    x_.Round();
    y_.Round();
  }

  std::string Render() {
    absl::StrAppend(&out_, "<svg viewBox=\"0 0 ", kPixelsWide, " ", kPixelsHigh, "\" role=\"img\" aria-label=\"",
                    EscapeHtml(chart_.title), "\">\n");
    DrawAxes();
    for (size_t s = 0; s < chart_.series.size(); ++s) {
      for (const ScatterPoint& point : chart_.series[s].points) {
        if (IsDrawn(point)) {
          const std::string name =
              absl::StrFormat("%s: %s %.4g, %s %.4g", point.name, chart_.x_label, point.x, chart_.y_label, point.y);
          absl::StrAppendFormat(&out_,
                                "<circle class=\"s%d\" cx=\"%.2f\" cy=\"%.2f\" r=\"5\"><title>%s</title></circle>\n",
                                s + 1, X(point.x), Y(point.y), EscapeHtml(name));
        }
      }
    }
    return out_ + "</svg>\n";
  }

 private:
  [[nodiscard]] double X(double value) const { return kLeft + x_.Share(value) * (kPixelsWide - kLeft - kRight); }
  [[nodiscard]] double Y(double value) const {
    return kPixelsHigh - kBottom - y_.Share(value) * (kPixelsHigh - kBottom - kTop);
  }

  void Text(double x, double y, const std::string& attributes, const std::string& text) {
    absl::StrAppendFormat(&out_, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, attributes, EscapeHtml(text));
  }

  void DrawAxes() {
    for (const double value : y_.Lines()) {
      absl::StrAppendFormat(&out_, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", kLeft,
                            kPixelsWide - kRight, Y(value), Y(value));
      Text(kLeft - 8, Y(value) + 4, "class=\"tick\" text-anchor=\"end\"", y_.Text(value));
    }
    for (const double value : x_.Lines()) {
      absl::StrAppendFormat(&out_, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", X(value),
                            X(value), kTop, kPixelsHigh - kBottom);
      Text(X(value), kPixelsHigh - kBottom + 17, "class=\"tick\" text-anchor=\"middle\"", x_.Text(value));
    }
    Text((kLeft + kPixelsWide - kRight) / 2, kPixelsHigh - 8, "class=\"label\" text-anchor=\"middle\"", chart_.x_label);
    const double middle = (kTop + kPixelsHigh - kBottom) / 2;
    Text(14, middle,
         absl::StrFormat("class=\"label\" text-anchor=\"middle\" transform=\"rotate(-90 14 %.1f)\"", middle),
         chart_.y_label);
  }

  const ScatterChart& chart_;
  Axis x_;
  Axis y_;
  std::string out_;
};

}  // namespace

std::string RenderScatterChart(const ScatterChart& chart) {
  std::string out = absl::StrCat("<figure>\n<figcaption><b>", EscapeHtml(chart.title), "</b> ", EscapeHtml(chart.note),
                                 "</figcaption>\n<ul class=\"legend\">");
  for (size_t i = 0; i < chart.series.size(); ++i) {
    absl::StrAppend(&out, "<li><i class=\"s", i + 1, "\"></i>", EscapeHtml(chart.series[i].name), "</li>");
  }
  return out + "</ul>\n" + Drawing(chart).Render() + "</figure>\n";
}

}  // namespace dejavu
