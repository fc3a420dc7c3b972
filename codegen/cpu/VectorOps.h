// Vectors of floats: loads that widen, stores, sums, dot products, exp.
#ifndef DEJAVU_CODEGEN_CPU_VECTOROPS_H_
#define DEJAVU_CODEGEN_CPU_VECTOROPS_H_

#include <cstdint>

#include "codegen/cpu/KernelBuilder.h"
#include "ir/base/DType.h"

namespace dejavu {

/// <count x float> from `count` packed elements (f32, f16 or bf16) at `address`; reads nothing else.
[[nodiscard]] llvm::Value* LoadFloats(KernelBuilder& b, llvm::Value* address, DType dtype, int count);
/// The same of the elements from number `column` on of a row.
[[nodiscard]] llvm::Value* LoadColumns(KernelBuilder& b, llvm::Value* row, llvm::Value* column, int count,
                                       DType dtype = DType::kF32);
/// The same, followed by zeros up to the target's vector width.
[[nodiscard]] llvm::Value* LoadPadded(KernelBuilder& b, llvm::Value* address, DType dtype, int count);
/// The vector, followed by zeros up to the target's vector width.
[[nodiscard]] llvm::Value* Pad(KernelBuilder& b, llvm::Value* vector);
/// Stores the first `count` lanes as f32.
void StoreFloats(KernelBuilder& b, llvm::Value* vector, llvm::Value* address, int count);

/// a * b + c: fused where the target has it.
[[nodiscard]] llvm::Value* MulAdd(KernelBuilder& b, llvm::Value* x, llvm::Value* y, llvm::Value* z);
/// x where x > 0, 0 where x <= 0, NaN for NaN.
[[nodiscard]] llvm::Value* Relu(KernelBuilder& b, llvm::Value* x);
/// All lanes equal to the scalar.
[[nodiscard]] llvm::Value* Splat(KernelBuilder& b, llvm::Value* scalar, int count);
[[nodiscard]] llvm::Value* ZeroVector(KernelBuilder& b, int count);

/// Runs body(column, count) over `width` columns: a loop over full vectors, then what is left as one narrower vector.
void ForColumns(KernelBuilder& b, int64_t width, llvm::function_ref<void(llvm::Value* column, int count)> body);
/// The same with values that each pass replaces; returns those after the last pass.
Values ForColumns(KernelBuilder& b, int64_t width, const Values& initial,
                  llvm::function_ref<Values(llvm::Value* column, int count, const Values&)> body);

/// <4 x T>: the sums of the lanes of four vectors, each added up in the same order.
[[nodiscard]] llvm::Value* SumEachOfFour(KernelBuilder& b, const Values& vectors);
/// Folds the halves of a vector with `combine` until one lane is left.
[[nodiscard]] llvm::Value* FoldLanes(KernelBuilder& b, llvm::Value* vector,
                                     llvm::function_ref<llvm::Value*(llvm::Value*, llvm::Value*)> combine);
[[nodiscard]] llvm::Value* SumLanes(KernelBuilder& b, llvm::Value* vector);
/// The larger of each pair of lanes; y where they are not ordered.
[[nodiscard]] llvm::Value* Max(KernelBuilder& b, llvm::Value* x, llvm::Value* y);

/// e^x for x <= 0, element by element: at most 2e-7 relative error down to -87, 0 below, NaN for NaN.
[[nodiscard]] llvm::Value* ExpOfNegative(KernelBuilder& b, llvm::Value* x);

/// How a dot product reads a row of `width` elements.
struct RowLayout {
  int64_t width;
  DType dtype;
  bool in_double = false;  // whether products are taken and added up as double
  [[nodiscard]] int64_t element_bytes() const { return static_cast<int64_t>(DTypeSize(dtype)); }
  [[nodiscard]] int64_t bytes() const { return width * element_bytes(); }
};

/// <4 x float>, or <4 x double> if the layout says so: the dot products of four rows with x (f32). The order of
/// summation depends on the layout only, and is the same for each row. `prefetch` gives the address to ask for when row
/// r is read at a byte offset.
[[nodiscard]] llvm::Value* DotFourRows(KernelBuilder& b, const Values& rows, llvm::Value* x, const RowLayout& layout,
                                       llvm::function_ref<llvm::Value*(int r, llvm::Value* offset)> prefetch);

/// Asks for the cache line of `address`, which need not be readable.
void Prefetch(KernelBuilder& b, llvm::Value* address);

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_VECTOROPS_H_
