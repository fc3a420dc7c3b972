// Builds operations from schemas; result types are inferred from the schema's patterns where they can be.
#ifndef DEJAVU_IR_CORE_BUILDER_H_
#define DEJAVU_IR_CORE_BUILDER_H_

#include <string>
#include <vector>

#include "ir/base/Status.h"
#include "ir/core/Module.h"

namespace dejavu {

/// Inserts operations into one function, before a chosen operation or at the end. Holds no state besides that place.
class Builder {
 public:
  explicit Builder(Function* function, const Operation* before = nullptr) : function_(function), before_(before) {}

  /// Creates what a pass makes of the operation `from`. Operands that do not fit the schema's patterns are the user's
  /// error, which names `from`, and nothing is created then: a pass may get a module that no importer would write.
  [[nodiscard]] absl::StatusOr<Operation*> TryCreate(const OpSchema& schema, std::vector<Value*> operands,
                                                     AttributeMap attributes, const Operation& from);
  /// Creates an operation; trailing optional operands may be left out. Aborts with a message if the operands do not fit
  /// the schema's patterns: only for operands that are known to fit.
  Operation* Create(const OpSchema& schema, std::vector<Value*> operands, AttributeMap attributes, Location location,
                    std::string result_name = "");
  /// The same with given result types, for ops whose results the patterns leave open.
  Operation* CreateTyped(const OpSchema& schema, std::vector<Value*> operands, AttributeMap attributes,
                         std::vector<Type> result_types, Location location);

 private:
  Function* function_;
  const Operation* before_;
};

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_BUILDER_H_
