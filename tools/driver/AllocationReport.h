// The part of a report that shows what a contract's layers could have, and what they got.
#ifndef DEJAVU_TOOLS_DRIVER_ALLOCATIONREPORT_H_
#define DEJAVU_TOOLS_DRIVER_ALLOCATIONREPORT_H_

#include <nlohmann/json.hpp>
#include <string>

namespace dejavu {

/// Plots of what was tried, perplexity and divergence against bytes and time, and of each layer's time, from the
/// contract in a manifest. Empty where it has no allocation. Fields that are missing are left out.
[[nodiscard]] std::string RenderAllocation(const nlohmann::json& contract);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_ALLOCATIONREPORT_H_
