// synthetic_fill: makes the weights of a synthetic model where they are needed. It is no launch of a plan: the runtime
// calls it once for each tensor, with one argument, before the first token.
#ifndef DEJAVU_CODEGEN_CUDA_KERNELS_SYNTHETICFILL_CUH_
#define DEJAVU_CODEGEN_CUDA_KERNELS_SYNTHETICFILL_CUH_

#include "Common.cuh"

namespace dejavu {

/// One tensor; the fields mean what they do in ir/base/SyntheticFill.h. The runtime has the same struct.
struct SyntheticFillArgs {
  void* out;
  long long rows;
  long long columns;
  unsigned long long seeds[4];
  float pattern[4];
  float step;
  int period;  // of the pattern; 0 for a grid
  int parts;   // how many seeds a grid has
  int transposed;
  int dtype;   // 0 f32, 1 f16, 2 bf16, 3 i8
  int choice;  // whether seeds are the multiplier, the offset and the number of a choice
  int copy_bits;
  int copy_columns;
};

/// A multiple of the grid's step, from -127 to 127: SyntheticGridValue().
__device__ inline float GridValue(unsigned long long seed, unsigned long long index) {
  unsigned long long z = seed + (index + 1) * 0x9E3779B97F4A7C15ULL;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  z ^= z >> 31;
  return static_cast<float>(static_cast<int>(((z >> 32) * 255) >> 32) - 127);
}

__device__ inline float GridElement(const SyntheticFillArgs& args, long long row, long long column) {
  const long long height = args.transposed ? args.columns : args.rows;
  const long long width = args.transposed ? args.rows : args.columns;
  const long long i = args.transposed ? column : row;
  const long long j = args.transposed ? row : column;
  const long long part_height = height / args.parts;
  const unsigned long long index = static_cast<unsigned long long>((i % part_height) * width + j);
  return j == 0 ? 127 * args.step : GridValue(args.seeds[i / part_height], index) * args.step;
}

__device__ inline float ChoiceElement(const SyntheticFillArgs& args, unsigned long long at, unsigned long long count) {
  return args.pattern[(at * args.seeds[0] + args.seeds[1]) % count < args.seeds[2] ? 0 : 1];
}

/// The fields of `bits` bits from bit `shift` on of the elements of a copy that share byte `at` of a plane's row.
__device__ inline unsigned FieldsOfByte(const SyntheticFillArgs& args, long long row, int at, int bits, int shift) {
  const int first = at / 16 * (128 / bits) + at % 16;
  unsigned byte = 0;
  for (int field = 0; field < 8 / bits; ++field) {
    const int column = first + 16 * field;
    if (column < args.copy_columns) {
      const unsigned long long index = static_cast<unsigned long long>(row) * args.copy_columns + column;
      const int value = column == 0 ? 127 : static_cast<int>(GridValue(args.seeds[0], index));
      const unsigned q = static_cast<unsigned>(value + 128) >> (8 - args.copy_bits);
      byte |= (q >> shift & ((1U << bits) - 1)) << bits * field;
    }
  }
  return byte;
}

/// Byte number `at` of a row of a copy: of one plane of 2 or 4 bits, or of a second one of 1 or 4 bits.
__device__ inline unsigned CopyByte(const SyntheticFillArgs& args, long long row, int at) {
  const int bits = args.copy_bits >= 4 ? 4 : 2;
  const int first_bytes = CeilDiv(args.copy_columns, 128 / bits) * 16;
  return at < first_bytes ? FieldsOfByte(args, row, at, bits, 0)
                          : FieldsOfByte(args, row, at - first_bytes, args.copy_bits - bits, bits);
}

/// Grids are exact in every dtype; patterns of f16 and bf16 hold numbers that are exact there.
__device__ inline void SyntheticFill(const SyntheticFillArgs& args) {
  const long long count = args.rows * args.columns;
  const GridShare share = ShareOfGrid();
  for (long long at = share.begin; at < count; at += share.step) {
    if (args.copy_bits > 0) {
      static_cast<unsigned char*>(args.out)[at] =
          static_cast<unsigned char>(CopyByte(args, at / args.columns, static_cast<int>(at % args.columns)));
      continue;
    }
    const float value = args.choice != 0  ? ChoiceElement(args, at, count)
                        : args.period > 0 ? args.pattern[at % args.period]
                                          : GridElement(args, at / args.columns, at % args.columns);
    if (args.dtype == 0) {
      static_cast<float*>(args.out)[at] = value;
    } else if (args.dtype == 1) {
      static_cast<unsigned short*>(args.out)[at] = NarrowToHalf(value);
    } else if (args.dtype == 2) {
      static_cast<unsigned short*>(args.out)[at] = static_cast<unsigned short>(__float_as_uint(value) >> 16);
    } else {
      static_cast<signed char*>(args.out)[at] = static_cast<signed char>(value);
    }
  }
}

}  // namespace dejavu

#endif  // DEJAVU_CODEGEN_CUDA_KERNELS_SYNTHETICFILL_CUH_
