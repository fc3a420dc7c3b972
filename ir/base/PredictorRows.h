// The format of a predictor's matrices: rows of int8 with a scale each, of 8 or 4 bits an element. Those of 16 bits are
// plain rows of f16 without scales.
//
// Rows of 8 bits are k bytes. Rows of 4 bits are k / 2: each half of a byte is the upper half of an int8 whose lower
// half is zero, so that it stands for a multiple of 16 from -128 to 112, and everything that is said of rows of int8
// holds for them. A block of 16 bytes has 32 columns: the lower half of byte i is that of column i, the upper half that
// of column 16 + i. So a load of 16 bytes gives two vectors of 16 columns, one by a shift and a mask, one by a mask.
#ifndef DEJAVU_IR_BASE_PREDICTORROWS_H_
#define DEJAVU_IR_BASE_PREDICTORROWS_H_

#include <cstdint>

namespace dejavu {

/// Columns of a block of packed rows, whose width is a multiple of it.
inline constexpr int64_t kPackedColumns = 32;

/// The bits of an element: 8 or 4; 0 if rows of k columns can't have so many bytes.
[[nodiscard]] constexpr int64_t PredictorBits(int64_t row_bytes, int64_t k) {
  return row_bytes == k ? 8 : 2 * row_bytes == k && k % kPackedColumns == 0 ? 4 : 0;
}

[[nodiscard]] constexpr bool IsMatrixBits(int64_t bits) { return bits == 16 || bits == 8 || bits == 4; }

/// The bits of rows of k columns where `bits` are wanted: not all widths can be packed.
[[nodiscard]] constexpr int64_t PredictorBitsFor(int64_t bits, int64_t k) {
  return bits == 4 && k % kPackedColumns != 0 ? 8 : bits;
}

/// The bits of the one small matrix that scores heads, where those of neurons have `bits`.
[[nodiscard]] constexpr int64_t HeadMatrixBits(int64_t bits) { return bits == 16 ? 16 : 8; }

/// Of rows of k columns; `bits` is 16, 8, or 4 where k is a multiple of kPackedColumns.
[[nodiscard]] constexpr int64_t PredictorRowBytes(int64_t bits, int64_t k) { return k * bits / 8; }

/// What a token reads of a predictor's matrix of n rows and k columns: elements of `bits` bits where that can be, a
/// scale for each row unless they are f16, and a bias.
[[nodiscard]] constexpr int64_t PredictorMatrixBytes(int64_t bits, int64_t n, int64_t k) {
  return n * (PredictorRowBytes(PredictorBitsFor(bits, k), k) + (bits == 16 ? 4 : 8));
}

/// The byte of a row of 4 bits that has column `column`, and whether in its upper half.
struct PackedPlace {
  int64_t byte;
  bool upper;
};
[[nodiscard]] constexpr PackedPlace PackedPlaceOf(int64_t column) {
  const int64_t in_block = column % kPackedColumns;
  constexpr int64_t kBytes = kPackedColumns / 2;
  return {column / kPackedColumns * kBytes + in_block % kBytes, in_block >= kBytes};
}

/// The int8 that half of `byte` stands for.
[[nodiscard]] constexpr int8_t Unpack(uint8_t byte, bool upper) {
  return static_cast<int8_t>(upper ? byte & 0xF0U : (byte & 0x0FU) << 4U);
}

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_PREDICTORROWS_H_
