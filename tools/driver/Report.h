// dejavu-eval --report: one HTML page that needs nothing else.
#ifndef DEJAVU_TOOLS_DRIVER_REPORT_H_
#define DEJAVU_TOOLS_DRIVER_REPORT_H_

#include <string>

#include "tools/driver/EvalOutput.h"

namespace dejavu {

/// What the page says about where the figures come from.
struct ReportNames {
  std::string artifact;
  std::string sparsity;
  std::string against;  ///< Empty without.
  std::string text;     ///< Empty without.
  std::string model;
  std::string device;
  nlohmann::json contract = nullptr;  ///< Of the artifact's manifest.
};

/// A page with the totals, what a contract's layers could choose from, a plot by layer of everything that was measured
/// by layer, the answers of the in-context tasks, and all of it as tables. No scripts, no network, well-formed as XML;
/// light and dark, and for printing.
[[nodiscard]] std::string RenderReport(const EvalResult& result, const ReportNames& names);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_REPORT_H_
