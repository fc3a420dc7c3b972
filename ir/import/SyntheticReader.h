// Models of OPT's published shapes with made-up weights, for benchmarks of shapes that nobody need download.
#ifndef DEJAVU_IR_IMPORT_SYNTHETICREADER_H_
#define DEJAVU_IR_IMPORT_SYNTHETICREADER_H_

#include <memory>
#include <string_view>

#include "ir/base/Status.h"
#include "ir/core/Module.h"

namespace dejavu {

/// The module of that shape (see SyntheticConfig) at stage "model", with f16 weights whose bytes are computed when they
/// are read. Biases are zero but for fc1's, which leaves some 5% of the neurons positive: its rows and their normalised
/// input are random.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Module>> ReadSynthetic(std::string_view shape);

}  // namespace dejavu

#endif  // DEJAVU_IR_IMPORT_SYNTHETICREADER_H_
