// All op schemas by name.
#ifndef DEJAVU_IR_OPS_REGISTRY_H_
#define DEJAVU_IR_OPS_REGISTRY_H_

#include <string>
#include <string_view>
#include <vector>

#include "ir/core/OpSchema.h"

namespace dejavu {

/// The schema called `name`, or null. Launches are called "sched.launch @kernel".
[[nodiscard]] const OpSchema* FindOpSchema(std::string_view name);
/// Every schema, sorted by stratum and then by name.
[[nodiscard]] std::vector<const OpSchema*> AllOpSchemas();
/// The text of ir/ops/OPS.md, generated from the schemas.
[[nodiscard]] std::string OpsMarkdown();

}  // namespace dejavu

#endif  // DEJAVU_IR_OPS_REGISTRY_H_
