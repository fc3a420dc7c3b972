// Products of the rows of a quantised copy (ir/base/QuantizedCopy.h) with a vector that is rounded to bytes: the inner
// part of quantized_test.
#ifndef DEJAVU_CODEGEN_CPU_COPYROWS_H_
#define DEJAVU_CODEGEN_CPU_COPYROWS_H_

#include <cstdint>

#include "codegen/cpu/KernelBuilder.h"
#include "ir/base/QuantizedCopy.h"

namespace dejavu {

/// Rows are asked for at least so many bytes ahead.
inline constexpr int64_t kCopyPrefetchBytes = 4096;

class CopyRows {
 public:
  /// What x was rounded with: x ~ up step n; both f32.
  struct Rounding {
    llvm::Value* step;
    llvm::Value* up;
  };

  /// For rows of `k` columns; `b` must outlive it.
  CopyRows(KernelBuilder& b, int64_t k, int64_t bits, int64_t group);

  /// Fills scratch memory with n, as the planes' fields want it, and its sum over each group. Only for a finite x;
  /// `largest` has the bits of the largest |x[i]|.
  [[nodiscard]] Rounding Round(llvm::Value* x, llvm::Value* largest);
  /// <4 x i32>: D of each of four rows, exactly. `next`: four to ask for ahead of their turn; empty: what follows.
  [[nodiscard]] llvm::Value* DotFour(llvm::Value* copy, llvm::Value* scales, const Values& rows, const Values& next);

 private:
  /// A plane and the vector as it wants it.
  struct Plane {
    CopyPlane plane;
    llvm::Value* n;  ///< i8, as many vectors for each vector of the plane as there are fields in a byte.

    [[nodiscard]] int64_t fields() const { return 8 / plane.bits; }
  };

  [[nodiscard]] int lanes() const { return b_.isa().vector_floats; }
  [[nodiscard]] int64_t vector_bytes() const { return 4 * static_cast<int64_t>(lanes()); }
  [[nodiscard]] int64_t groups() const { return CopyGroups(k_, group_); }
  /// Columns of a vector of a plane's bytes, and how many there are; the last one may be shorter.
  [[nodiscard]] int64_t VectorColumns(const CopyPlane& plane) const { return vector_bytes() * 8 / plane.bits; }
  [[nodiscard]] int64_t Vectors(const CopyPlane& plane) const {
    return (plane.bytes(k_) + vector_bytes() - 1) / vector_bytes();
  }
  [[nodiscard]] llvm::FixedVectorType* IntVector(unsigned bits, int64_t count);
  [[nodiscard]] llvm::Value* LoadBytes(llvm::Value* address, int64_t count, int64_t padded);
  void Zero(llvm::Value* address, int64_t bytes);
  void Arrange(llvm::Value* n, const Plane& plane);
  void SumGroups(llvm::Value* n);
  [[nodiscard]] llvm::Value* PairProducts(llvm::Value* fields, llvm::Value* n);
  [[nodiscard]] llvm::Value* AddScaled(llvm::Value* sums, llvm::Value* scales, llvm::Value* sum);
  [[nodiscard]] llvm::Value* ScalesOf(const CopyPlane& plane, llvm::Value* scales, llvm::Value* vector, int64_t field,
                                      int64_t loaded);
  [[nodiscard]] llvm::Value* AddVector(const Plane& plane, llvm::Value* row, llvm::Value* scales, llvm::Value* vector,
                                       int64_t last, llvm::Value* sum);
  [[nodiscard]] llvm::Value* DotPlane(const Plane& plane, llvm::Value* row, llvm::Value* scales, llvm::Value* ahead);
  [[nodiscard]] llvm::Value* DotGroupSums(llvm::Value* scales);

  KernelBuilder& b_;
  llvm::IRBuilder<>& ir_;
  int64_t k_;
  int64_t bits_;
  int64_t group_;
  llvm::SmallVector<Plane, 2> planes_;
  llvm::Value* group_sums_;  // i16, padded by zeros to whole vectors
};

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CPU_COPYROWS_H_
