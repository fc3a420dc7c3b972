// Index lists: the count as int32, and from byte 64 on the numbers as int32.
#ifndef DEJAVU_CODEGEN_CPU_INDEXLIST_H_
#define DEJAVU_CODEGEN_CPU_INDEXLIST_H_

#include "codegen/cpu/KernelBuilder.h"

namespace dejavu {

/// Where the numbers begin, after the count and its padding.
inline constexpr int64_t kNumbersOffset = 64;

/// Entry `index` of an array of int32 that are not negative, as i64. A list's count is entry 0 of the list.
[[nodiscard]] llvm::Value* LoadI32(KernelBuilder& b, llvm::Value* base, llvm::Value* index);
void StoreI32(KernelBuilder& b, llvm::Value* value, llvm::Value* base, llvm::Value* index);

[[nodiscard]] llvm::Value* Smaller(KernelBuilder& b, llvm::Value* x, llvm::Value* y);

/// <size x i1>: whether the elements [start, start + size) are chosen.
using ChosenFn = llvm::function_ref<llvm::Value*(llvm::Value* start, int size)>;
/// Writes to `list` the numbers of the chosen ones of `n` elements. For one thread.
void EmitList(KernelBuilder& b, int64_t n, llvm::Value* list, ChosenFn chosen);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_INDEXLIST_H_
