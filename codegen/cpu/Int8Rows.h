// Products of int8 rows with a vector that is rounded to int16: the inner part of certified_test and quantized_linear.
#ifndef DEJAVU_CODEGEN_CPU_INT8ROWS_H_
#define DEJAVU_CODEGEN_CPU_INT8ROWS_H_

#include <cstdint>

#include "codegen/cpu/KernelBuilder.h"

namespace dejavu {

/// x is scaled by a power of two so that its largest element lies in [2^-23, 4), which is exact, and keeps sums of
/// squares far from underflow and overflow; `up` undoes it. n = round(x / step), and d = x - step n, of the scaled x.
class Int8Rows {
 public:
  /// Rows that are added up across their lanes together.
  static constexpr int64_t kRows = 4;

  /// What is known of x, all f32: the step, upper bounds of the norms of x and d, and 2^e.
  struct Input {
    llvm::Value* step;
    llvm::Value* norm;
    llvm::Value* error;
    llvm::Value* up;
  };

  /// For rows of `k` elements of `bits` bits each, 8 or 4 as PredictorRows.h packs them; `b` must outlive it.
  Int8Rows(KernelBuilder& b, int64_t k, int64_t bits = 8);

  /// The bits of the largest |x[i]|, i32; they are ordered as the numbers are, NaN above infinity.
  [[nodiscard]] llvm::Value* LargestBits(llvm::Value* x);
  /// i1: whether all of x is finite.
  [[nodiscard]] llvm::Value* IsFinite(llvm::Value* largest);
  /// Fills scratch memory with n, padded by zeros. Only for a finite x.
  [[nodiscard]] Input Quantize(llvm::Value* x, llvm::Value* largest);

  /// The numbers of the rows in block `block` of `rows` rows; past the end the last one again.
  [[nodiscard]] Values RowsOf(llvm::Value* block, int64_t rows);
  [[nodiscard]] Values RowsOf(llvm::Value* block, llvm::Value* rows);
  /// Calls `body` with parts of `blocks` and each of `tokens` rows of x. Parts are small enough that their rows of q8
  /// come from memory once for all tokens; for one token there is one part.
  void ForTokens(const Range& blocks, int64_t tokens,
                 llvm::function_ref<void(const Range& part, llvm::Value* token)> body);
  /// <4 x i32>: q8[row] . n for each of the four rows, exactly.
  [[nodiscard]] llvm::Value* DotFour(llvm::Value* q8, const Values& rows);

 private:
  [[nodiscard]] int lanes() const { return b_.isa().vector_floats; }
  /// Lanes of an int16 vector.
  [[nodiscard]] int wide_lanes() const { return 2 * lanes(); }
  [[nodiscard]] int64_t PaddedWidth() const { return (k_ + wide_lanes() - 1) / wide_lanes() * wide_lanes(); }
  [[nodiscard]] llvm::FixedVectorType* IntVector(unsigned bits, int count);
  [[nodiscard]] llvm::Value* FloatFromBits(llvm::Value* bits) { return ir_.CreateBitCast(bits, b_.F32()); }
  [[nodiscard]] llvm::Value* AddProducts(llvm::Value* q, llvm::Value* n, llvm::Value* sum);
  [[nodiscard]] llvm::Value* LoadInt8(llvm::Value* address, int count);
  [[nodiscard]] llvm::Value* DotRow(llvm::Value* row);
  [[nodiscard]] llvm::Value* DotPackedRow(llvm::Value* row);

  KernelBuilder& b_;
  llvm::IRBuilder<>& ir_;
  int64_t k_;
  int64_t bits_;
  int64_t levels_;  // n lies in [-levels_, levels_], so that q8 . n fits 32 bits
  llvm::Value* n_;  // i16 (PaddedWidth())
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_INT8ROWS_H_
