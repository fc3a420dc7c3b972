// Bar charts as SVG, to stand inside an HTML page that defines their colours.
#ifndef DEJAVU_TOOLS_DRIVER_BARCHART_H_
#define DEJAVU_TOOLS_DRIVER_BARCHART_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/driver/Intervals.h"

namespace dejavu {

struct BarSeries {
  std::string name;
  std::vector<double> values;       ///< One for each category; NaN leaves a gap.
  std::vector<Interval> intervals;  ///< Drawn as whiskers; empty for none.
};

struct BarChart {
  std::string title;
  std::string note;  ///< A sentence below the title.
  std::string x_label;
  std::string y_label;  ///< With its unit.
  std::vector<std::string> categories;
  std::vector<BarSeries> series;  ///< At most four.
  bool stacked = false;           ///< Otherwise side by side.
  double low = 0;                 ///< Where the vertical axis begins.
  std::optional<double> high;     ///< Where it ends at the least; nothing: at the largest value.
};

/// An HTML <figure>: caption, legend where there are several series, and the drawing. Every bar has its value as a
/// tooltip. The page's style sheet has the classes of kBarChartStyle.
[[nodiscard]] std::string RenderBarChart(const BarChart& chart);

/// CSS for the charts; the page defines --text, --muted, --grid, --surface and --series-1 to --series-4.
extern const char* const kBarChartStyle;

/// `text` with HTML's special characters escaped, and without control characters, which XML forbids.
[[nodiscard]] std::string EscapeHtml(std::string_view text);

/// The distance of gridlines that cuts `range`, which is above 0, into at most six: 1, 2 or 5 times a power of ten.
[[nodiscard]] double GridStep(double range);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_BARCHART_H_
