#include "ir/base/SyntheticFill.h"

#include <cstring>

#include "ir/base/QuantizedCopy.h"

namespace dejavu {
namespace {

void Store(DType dtype, float value, std::byte* out) {
  switch (dtype) {
    case DType::kF16: {
      const uint16_t bits = FloatToHalf(value);
      std::memcpy(out, &bits, sizeof(bits));
      return;
    }
    case DType::kBF16: {
      const uint16_t bits = FloatToBFloat16(value);
      std::memcpy(out, &bits, sizeof(bits));
      return;
    }
    case DType::kI8:
      *out = static_cast<std::byte>(static_cast<int8_t>(value));
      return;
    default:
      std::memcpy(out, &value, sizeof(value));
  }
}

/// The element at (row, column) as stored, of a grid that is stored as `rows` x `columns`.
float GridElement(const SyntheticFill& fill, int64_t rows, int64_t columns, int64_t row, int64_t column) {
  // In the grid itself, which may be the transpose.
  const int64_t height = fill.transposed ? columns : rows;
  const int64_t width = fill.transposed ? rows : columns;
  const int64_t i = fill.transposed ? column : row;
  const int64_t j = fill.transposed ? row : column;
  if (j == 0) {
    return 127 * fill.step;
  }
  const int64_t part_height = height / static_cast<int64_t>(fill.seeds.size());
  const auto index = static_cast<uint64_t>((i % part_height) * width + j);
  return static_cast<float>(SyntheticGridValue(fill.seeds[static_cast<size_t>(i / part_height)], index)) * fill.step;
}

/// Byte number `at` of a row of a copy.
std::byte CopyByte(const SyntheticFill& fill, int64_t rows, int64_t row, int64_t at) {
  const int64_t first_bytes = CopyPlaneOf(fill.copy_bits, 0).bytes(fill.copy_columns);
  const CopyPlane plane = CopyPlaneOf(fill.copy_bits, at < first_bytes ? 0 : 1);
  const int64_t in_plane = at < first_bytes ? at : at - first_bytes;
  const int64_t first_column = in_plane / kCopyBlockBytes * plane.block_columns() + in_plane % kCopyBlockBytes;
  int64_t byte = 0;
  for (int64_t field = 0; field < 8 / plane.bits; ++field) {
    const int64_t column = first_column + field * kCopyBlockBytes;
    if (column < fill.copy_columns) {
      const auto value = static_cast<int64_t>(GridElement(fill, rows, fill.copy_columns, row, column));
      const int64_t q = (value + 128) >> (8 - fill.copy_bits);
      byte |= ((q >> plane.shift) & ((1 << plane.bits) - 1)) << (plane.bits * field);
    }
  }
  return static_cast<std::byte>(byte);
}

}  // namespace

void FillSynthetic(const SyntheticFill& fill, DType dtype, int64_t rows, int64_t columns, int64_t first, int64_t count,
                   std::byte* out) {
  const auto size = static_cast<int64_t>(DTypeSize(dtype));
  const auto period = static_cast<int64_t>(fill.pattern.size());
  const auto element = [&](int64_t row, int64_t column) {
    const int64_t index = row * columns + column;
    if (fill.multiplier > 0) {
      return fill.pattern[IsChosen(fill, index, rows * columns) ? 0 : 1];
    }
    return period > 0 ? fill.pattern[static_cast<size_t>(index % period)]
                      : GridElement(fill, rows, columns, row, column);
  };
  for (int64_t row = first; row < first + count; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      std::byte* to = out + ((row - first) * columns + column) * size;
      if (fill.copy_bits > 0) {
        *to = CopyByte(fill, rows, row, column);
      } else {
        Store(dtype, element(row, column), to);
      }
    }
  }
}

float RoundTo(DType dtype, float value) {
  switch (dtype) {
    case DType::kF16:
      return HalfToFloat(FloatToHalf(value));
    case DType::kBF16:
      return BFloat16ToFloat(FloatToBFloat16(value));
    default:
      return value;
  }
}

}  // namespace dejavu
