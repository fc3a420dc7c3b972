// A few neighbouring rows of a weight matrix, read once and multiplied with one vector after the other.
#ifndef DEJAVU_CODEGEN_CPU_ROWBLOCK_H_
#define DEJAVU_CODEGEN_CPU_ROWBLOCK_H_

#include "codegen/cpu/KernelBuilder.h"
#include "codegen/cpu/VectorOps.h"

namespace dejavu {

class RowBlock {
 public:
  /// As many as are added up across lanes together.
  static constexpr int64_t kRows = 4;
  /// How far ahead of the bytes in work lines of a matrix are asked for.
  static constexpr int64_t kPrefetchBytes = 4096;

  /// The rows from `first` on of the matrix at `w`, with the elements of `bias` (f32), which is null for none. `layout`
  /// is that of a row. Emits at the builder's place; `b` must outlive it.
  RowBlock(KernelBuilder& b, llvm::Value* w, llvm::Value* bias, llvm::Value* first, const RowLayout& layout);

  /// Stores rows x + bias as kRows floats at `y`.
  void Multiply(llvm::Value* x, llvm::Value* y) const;

 private:
  KernelBuilder& b_;
  RowLayout layout_;
  Values rows_;
  llvm::Value* bias_;  // <kRows x float>, or null
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_ROWBLOCK_H_
