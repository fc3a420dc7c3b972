// What is said about a contract that holds.
#ifndef DEJAVU_TOOLS_DRIVER_CONTRACTOUTPUT_H_
#define DEJAVU_TOOLS_DRIVER_CONTRACTOUTPUT_H_

#include <nlohmann/json.hpp>
#include <string>

#include "tools/driver/Contract.h"

namespace dejavu {

/// For the manifest.
[[nodiscard]] nlohmann::json ContractJson(const ContractOutcome& outcome, Prices prices);
/// Aligned tables: bounds and what was measured, and what each layer got.
[[nodiscard]] std::string ContractTable(const ContractOutcome& outcome);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_CONTRACTOUTPUT_H_
