// What a kernel is asked to do: its name and the types and attributes it is specialised to.
#ifndef DEJAVU_CODEGEN_TARGET_KERNELSPEC_H_
#define DEJAVU_CODEGEN_TARGET_KERNELSPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ir/core/Attribute.h"
#include "ir/core/Type.h"

namespace dejavu {

/// One launch of [sched] without its buffers. Operands and results stand in the order of the kernel's arguments; an
/// absent optional operand is nullopt. The symbolic dimensions are "tokens" (of this call), "active" and "heads" (of a
/// list).
struct KernelSpec {
  std::string kernel;
  std::vector<std::optional<Type>> operands;
  std::vector<Type> results;
  AttributeMap attributes;
  std::vector<KernelSpec> parts = {};  ///< Of a joint kernel, whose arguments are theirs one after the other.

  friend bool operator==(const KernelSpec&, const KernelSpec&) = default;
};

/// Work that one launch does. Bytes are those read and written once each: weights, caches and activations.
struct KernelCost {
  int64_t bytes = 0;                     // of a call with one token, whatever the data
  int64_t flops = 0;                     // of a call with one token; per entry, for the kernels that gather rows
  int64_t bytes_per_context_token = 0;   // attention: for each position attended to
  int64_t per_active_bytes = 0;          // for each entry of the index<...> operand
  int64_t per_active_context_bytes = 0;  // for each of these entries and each position attended to
  int64_t per_positive_bytes = 0;        // for each non-zero entry of h among the active
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_TARGET_KERNELSPEC_H_
