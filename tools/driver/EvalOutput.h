// What dejavu-eval prints.
#ifndef DEJAVU_TOOLS_DRIVER_EVALOUTPUT_H_
#define DEJAVU_TOOLS_DRIVER_EVALOUTPUT_H_

#include <iosfwd>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "tools/driver/Evaluate.h"
#include "tools/driver/Icl.h"

namespace dejavu {

/// What was measured: of a text, if one was scored, and the tasks of in-context learning, if they were asked for.
struct EvalResult {
  std::optional<Evaluation> text;
  std::vector<IclResult> icl;
  IclOptions icl_options;
};

/// The object that --json prints.
[[nodiscard]] nlohmann::ordered_json EvalJson(const EvalResult& result);
/// Aligned tables for people.
void PrintEval(const EvalResult& result, std::ostream& out);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_EVALOUTPUT_H_
