// The format of a quantised copy of a matrix: few bits an element, with a scale for each group of columns.
//
// Element j of a row is stood for by (2 q - c) m s: q is a number of `bits` bits, c = 2^bits - 1, m the scale of the
// group of columns that j is in, a small integer, and s the scale of the row. Halves of steps make the 2^bits values
// symmetric, and integers m make the product with a vector of integers exact, whatever the order.
//
// A row is one or two planes, one after the other, of 1, 2 or 4 of the bits of each q: 4 and 2 bits are one plane, 3
// are a plane of the 2 low ones and one of the high one, 8 are two planes of 4. A plane is made of blocks of 16 bytes.
// With f fields of its bits in a byte, a block has 16 f columns, and field t of its byte i, counted from the lowest
// bits, is that of column 16 t + i. So one load of 16 bytes gives f vectors of 16 columns by shifts and masks. Columns
// past the last have fields of zero.
#ifndef DEJAVU_IR_BASE_QUANTIZEDCOPY_H_
#define DEJAVU_IR_BASE_QUANTIZEDCOPY_H_

#include <algorithm>
#include <cstdint>

namespace dejavu {

inline constexpr int64_t kCopyBlockBytes = 16;

/// Some of the bits of each element, q = ... + (field << shift).
struct CopyPlane {
  int64_t bits;   ///< 1, 2 or 4; 0: there is no such plane.
  int64_t shift;  ///< Where they are in q.

  /// Of a plane that there is.
  [[nodiscard]] constexpr int64_t block_columns() const { return kCopyBlockBytes * 8 / std::max<int64_t>(bits, 1); }
  /// Bytes of a row of k columns.
  [[nodiscard]] constexpr int64_t bytes(int64_t k) const {
    return bits == 0 ? 0 : (k + block_columns() - 1) / block_columns() * kCopyBlockBytes;
  }
};

/// Plane 0 or 1 of a copy of 2, 3, 4 or 8 bits.
[[nodiscard]] constexpr CopyPlane CopyPlaneOf(int64_t bits, int plane) {
  if (plane == 0) {
    return {bits >= 4 ? 4 : 2, 0};
  }
  return bits == 3 ? CopyPlane{1, 2} : bits == 8 ? CopyPlane{4, 4} : CopyPlane{0, 0};
}

[[nodiscard]] constexpr bool IsCopyBits(int64_t bits) { return bits == 2 || bits == 3 || bits == 4 || bits == 8; }
[[nodiscard]] constexpr bool IsCopyGroup(int64_t group) { return group == 32 || group == 64 || group == 128; }

/// Bytes of a row of k columns.
[[nodiscard]] constexpr int64_t CopyRowBytes(int64_t bits, int64_t k) {
  return CopyPlaneOf(bits, 0).bytes(k) + CopyPlaneOf(bits, 1).bytes(k);
}
/// Scales of a row of k columns.
[[nodiscard]] constexpr int64_t CopyGroups(int64_t k, int64_t group) { return (k + group - 1) / group; }

/// c, the largest |2 q - c|.
[[nodiscard]] constexpr int64_t CopyCentre(int64_t bits) { return (int64_t{1} << bits) - 1; }
/// The largest scale of a group; the smallest is 1.
[[nodiscard]] constexpr int64_t MostGroupScale(int64_t bits) { return bits == 8 ? 7 : bits == 4 ? 63 : 127; }
/// A vector that is multiplied with rows of k columns is rounded to integers from -levels to levels: bytes, with which
/// no product reaches 2^31.
[[nodiscard]] constexpr int64_t CopyLevels(int64_t bits, int64_t k) {
  return std::clamp<int64_t>(INT32_MAX / (MostGroupScale(bits) * CopyCentre(bits) * k), 1, 127);
}

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_QUANTIZEDCOPY_H_
