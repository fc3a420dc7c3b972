// Numbers for the weights of models that have none: equal on every device, and cheap to make where they are needed.
#ifndef DEJAVU_IR_BASE_SYNTHETICFILL_H_
#define DEJAVU_IR_BASE_SYNTHETICFILL_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ir/base/DType.h"

namespace dejavu {

/// What a synthetic tensor holds: a pattern, a choice, or pseudorandom multiples of `step` from -127 to 127. These are
/// exact in f32, f16 and bf16, and as int8 with `step` 1; the first column is 127, so that int8 quantisation of each
/// row finds `step` as its scale and loses nothing.
///
/// A choice is pattern[0] at exactly `chosen` elements, scattered over the tensor, and pattern[1] at the others:
/// element i of n is chosen if (i * multiplier + offset) mod n < chosen. A multiplier coprime to n makes that a
/// permutation; one near n times the golden ratio keeps chosen elements apart as evenly as can be, so that no two rows
/// of a gather are neighbours that one stream of loads would reach.
///
/// A copy of a grid has `copy_bits` bits of each element, as QuantizedCopy.h packs them: q is (v + 128) shifted right
/// by 8 - bits, for the multiple v of the step, so that 2^(7 - bits) (2 q - c) is near it. Its rows are bytes, as i8.
struct SyntheticFill {
  std::vector<float> pattern = {};  ///< Repeated over the tensor; empty for a grid.
  int64_t multiplier = 0;           ///< Of a choice; 0 for others.
  int64_t offset = 0;
  int64_t chosen = 0;
  float step = 0;  ///< Of a grid: a power of two.
  std::vector<uint64_t> seeds =
      {};                    ///< Of a grid: one for each of the equally high matrices that stand below each other.
  bool transposed = false;   ///< Whether the grid is stored with its rows as columns.
  int64_t copy_bits = 0;     ///< Of a copy of a grid; 0 for others.
  int64_t copy_columns = 0;  ///< Of the grid that it is a copy of.

  friend bool operator==(const SyntheticFill&, const SyntheticFill&) = default;
};

/// The multiple of `step` at `index`, row-major, in the grid of `seed`; by SplitMix64 (Steele, Lea, Flood 2014).
[[nodiscard]] inline int8_t SyntheticGridValue(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  z ^= z >> 31U;
  return static_cast<int8_t>(static_cast<int32_t>(((z >> 32U) * 255U) >> 32U) - 127);
}

/// Whether the choice `fill` takes element `index` of `count`.
[[nodiscard]] inline bool IsChosen(const SyntheticFill& fill, int64_t index, int64_t count) {
  return (index * fill.multiplier + fill.offset) % count < fill.chosen;
}

/// Standard deviation of a grid's multiples.
inline constexpr double kSyntheticGridDeviation = 73.6116;  // sqrt((255^2 - 1) / 12)

/// Writes rows [first, first + count) of a tensor of `rows` x `columns` elements as it is stored (a vector is one
/// column) to `out`, which has room for just these. `dtype` is f32, f16, bf16 or i8; rows divide evenly by the seeds.
void FillSynthetic(const SyntheticFill& fill, DType dtype, int64_t rows, int64_t columns, int64_t first, int64_t count,
                   std::byte* out);

/// What is left of a number after it was stored as `dtype`.
[[nodiscard]] float RoundTo(DType dtype, float value);

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_SYNTHETICFILL_H_
