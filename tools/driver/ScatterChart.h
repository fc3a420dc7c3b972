// Points of two measures as SVG, to stand inside an HTML page that has the colours and classes of BarChart.
#ifndef DEJAVU_TOOLS_DRIVER_SCATTERCHART_H_
#define DEJAVU_TOOLS_DRIVER_SCATTERCHART_H_

#include <string>
#include <vector>

namespace dejavu {

struct ScatterPoint {
  double x = 0;
  double y = 0;
  std::string name;  ///< Its tooltip begins with it.
};

struct ScatterSeries {
  std::string name;
  std::vector<ScatterPoint> points;
};

struct ScatterChart {
  std::string title;
  std::string note;
  std::string x_label;
  std::string y_label;
  std::vector<ScatterSeries> series;  ///< At most four.
};

/// An HTML <figure> with a dot for each point; axes end at round numbers around them. Points that are not finite are
/// left out.
[[nodiscard]] std::string RenderScatterChart(const ScatterChart& chart);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_SCATTERCHART_H_
