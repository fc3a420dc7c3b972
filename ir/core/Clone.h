// Copies of functions.
#ifndef DEJAVU_IR_CORE_CLONE_H_
#define DEJAVU_IR_CORE_CLONE_H_

#include <map>
#include <string>

#include "ir/core/Module.h"

namespace dejavu {

/// Adds a copy of `from`, a function of `module`, under the new name `name`. Each symbolic dimension in `dims` becomes
/// what it stands for there. Weights are shared.
Function* CloneFunction(Module& module, const Function& from, const std::string& name,
                        const std::map<std::string, Dim>& dims);

}  // namespace dejavu

#endif  // DEJAVU_IR_CORE_CLONE_H_
