// The toy model's kernels in the form of CUDA kernels, for the fake driver: one parameter per argument, then the dims,
// then the scratch memory where the launch has some. NAME_params says how many there are; a kernel whose only parameter
// is a struct has NAME_struct with its size instead, and gets its address.
#include "tests/unit/runtime/ToyKernels.c"

#define KERNEL3(name)                                       \
  const int cuda_##name##_params = 3;                       \
  void cuda_##name(void* a, void* b, const int64_t* dims) { \
    void* const args[] = {a, b};                            \
    name(args, dims, 0, 1);                                 \
  }
#define KERNEL4(name)                                                \
  const int cuda_##name##_params = 4;                                \
  void cuda_##name(void* a, void* b, void* c, const int64_t* dims) { \
    void* const args[] = {a, b, c};                                  \
    name(args, dims, 0, 1);                                          \
  }
#define KERNEL5(name)                                                         \
  const int cuda_##name##_params = 5;                                         \
  void cuda_##name(void* a, void* b, void* c, void* d, const int64_t* dims) { \
    void* const args[] = {a, b, c, d};                                        \
    name(args, dims, 0, 1);                                                   \
  }
#define KERNEL6(name)                                                                  \
  const int cuda_##name##_params = 6;                                                  \
  void cuda_##name(void* a, void* b, void* c, void* d, void* e, const int64_t* dims) { \
    void* const args[] = {a, b, c, d, e};                                              \
    name(args, dims, 0, 1);                                                            \
  }
#define KERNEL7(name)                                                                           \
  const int cuda_##name##_params = 7;                                                           \
  void cuda_##name(void* a, void* b, void* c, void* d, void* e, void* f, const int64_t* dims) { \
    void* const args[] = {a, b, c, d, e, f};                                                    \
    name(args, dims, 0, 1);                                                                     \
  }

KERNEL3(toy_last_row)
KERNEL4(toy_embed)
KERNEL4(toy_mix)
KERNEL5(toy_test)
KERNEL6(toy_fc1)
KERNEL7(toy_fc2)
KERNEL4(toy_head)
KERNEL3(toy_argmax)
KERNEL4(toy_mix_batch)
KERNEL5(toy_test_batch)
KERNEL6(toy_fc1_batch)
KERNEL7(toy_fc2_batch)
KERNEL4(toy_head_batch)
KERNEL3(toy_argmax_batch)

// As codegen/cuda/kernels/Advance.cuh.
struct Control {
  int64_t dims[2];
  int32_t token;
};
const int advance_params = 3;
void advance(const int32_t* choice, struct Control* control, int32_t* choices) {
  choices[control->dims[1]] = *choice;
  control->token = *choice < 0 ? 0 : *choice;
  control->dims[1] += 1;
}

// With scratch memory: its counters must be zero, and are left so; the rest is overwritten.
const int cuda_toy_compact_params = 4;
void cuda_toy_compact(void* flags, void* active, const int64_t* dims, void* scratch) {
  int32_t* counters = scratch;
  void* const args[] = {flags, active};
  toy_compact(args, dims, 0, 1);
  for (int i = 0; i < 16384 / 4; ++i) {
    if (counters[i] != 0) {
      *(int32_t*)active = -1;
    }
  }
  memset((char*)scratch + 16384, 0x55, 64);
}

// As codegen/cuda/kernels/SyntheticFill.cuh, one element after the other.
struct FillArgs {
  void* out;
  int64_t rows;
  int64_t columns;
  uint64_t seeds[4];
  float pattern[4];
  float step;
  int32_t period;
  int32_t parts;
  int32_t transposed;
  int32_t dtype;
  int32_t choice;
  int32_t copy_bits;
  int32_t copy_columns;
};

static float GridElement(const struct FillArgs* args, int64_t i, int64_t j) {
  const int64_t part = (args->transposed ? args->columns : args->rows) / args->parts;
  const int64_t width = args->transposed ? args->rows : args->columns;
  uint64_t z = args->seeds[i / part] + ((uint64_t)(i % part * width + j) + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return args->step * (j == 0 ? 127 : (int32_t)(((z >> 32) * 255) >> 32) - 127);
}

// The fields of `bits` bits from bit `shift` on of the elements that share byte `at` of a plane's row.
static int32_t FieldsOfByte(const struct FillArgs* args, int64_t row, int64_t at, int32_t bits, int32_t shift) {
  int32_t byte = 0;
  for (int32_t field = 0; field < 8 / bits; ++field) {
    const int64_t column = at / 16 * (128 / bits) + 16 * field + at % 16;
    if (column < args->copy_columns) {
      struct FillArgs grid = *args;
      grid.columns = args->copy_columns;
      const int32_t q = ((int32_t)GridElement(&grid, row, column) + 128) >> (8 - args->copy_bits);
      byte |= (q >> shift & ((1 << bits) - 1)) << bits * field;
    }
  }
  return byte;
}

static uint8_t CopyByte(const struct FillArgs* args, int64_t row, int64_t at) {
  const int32_t bits = args->copy_bits >= 4 ? 4 : 2;
  const int64_t first = (args->copy_columns + 128 / bits - 1) / (128 / bits) * 16;
  return (uint8_t)(at < first ? FieldsOfByte(args, row, at, bits, 0)
                              : FieldsOfByte(args, row, at - first, args->copy_bits - bits, bits));
}

const int synthetic_fill_struct = sizeof(struct FillArgs);
void synthetic_fill(const struct FillArgs* args) {
  for (int64_t at = 0; at < args->rows * args->columns; ++at) {
    const int64_t row = at / args->columns;
    const int64_t column = at % args->columns;
    if (args->copy_bits > 0) {
      ((uint8_t*)args->out)[at] = CopyByte(args, row, column);
      continue;
    }
    const float value = args->period > 0   ? args->pattern[at % args->period]
                        : args->transposed ? GridElement(args, column, row)
                                           : GridElement(args, row, column);
    if (args->dtype == 0) {
      ((float*)args->out)[at] = value;
    } else if (args->dtype == 1) {
      ((_Float16*)args->out)[at] = (_Float16)value;
    } else if (args->dtype == 2) {
      uint32_t bits = 0;
      memcpy(&bits, &value, sizeof(bits));
      ((uint16_t*)args->out)[at] = (uint16_t)(bits >> 16);
    } else {
      ((int8_t*)args->out)[at] = (int8_t)value;
    }
  }
}

// For the tests of the conformance suite's guards: y f32<4> = x f32<4>, with and without a fault.
const int cuda_copy_params = 4;
void cuda_copy(void* x, void* y, const int64_t* dims, void* scratch) {
  memcpy(y, x, 4 * sizeof(float) * (size_t)dims[0]);
  memset((char*)scratch + 16384, 0, 64);
}

const int cuda_copy_behind_params = 4;
void cuda_copy_behind(void* x, void* y, const int64_t* dims, void* scratch) {
  cuda_copy(x, y, dims, scratch);
  ((char*)y)[4 * sizeof(float)] = 0;
}

const int cuda_copy_before_params = 4;
void cuda_copy_before(void* x, void* y, const int64_t* dims, void* scratch) {
  cuda_copy(x, y, dims, scratch);
  ((char*)y)[-3] = 0;
}

const int cuda_copy_counting_params = 4;
void cuda_copy_counting(void* x, void* y, const int64_t* dims, void* scratch) {
  cuda_copy(x, y, dims, scratch);
  ((int32_t*)scratch)[7] = 1;
}

// What the runtime calls around the products of prefill.
const int round_to_f16_params = 3;
void round_to_f16(const float* x, _Float16* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    y[i] = (_Float16)x[i];
  }
}

const int round_to_bf16_params = 3;
void round_to_bf16(const float* x, uint16_t* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    memcpy(&bits, x + i, sizeof(bits));
    y[i] = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
  }
}

const int finish_product_params = 5;
void finish_product(const float* bias, float* y, int64_t n, int64_t count, int64_t relu) {
  for (int64_t i = 0; i < count; ++i) {
    const float value = y[i] + (bias != 0 ? bias[i % n] : 0);
    y[i] = relu && value < 0 ? 0 : value;
  }
}
