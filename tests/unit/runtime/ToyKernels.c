// Kernels of the toy model, in the ABI of emitted code, built by the system's C compiler: the runtime's tests need no
// code generator. Hidden size 8, 16 neurons, 24 ids, 32 positions.
#include <stdint.h>
#include <string.h>

enum { kHidden = 8, kNeurons = 16, kVocab = 24, kPositions = 32, kIndexEntries = 64 };

static const int32_t* Entries(const void* index) { return (const int32_t*)((const char*)index + kIndexEntries); }

static float Dot(const float* a, const float* b) {
  float sum = 0;
  for (int i = 0; i < kHidden; ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

// tokens i32<T>, table f32<V,8> -> y f32<T,8>
void toy_embed(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  for (int64_t t = thread; t < dims[0]; t += threads) {
    const float* row = (const float*)args[1] + ((const int32_t*)args[0])[t] * kHidden;
    memcpy((float*)args[2] + t * kHidden, row, kHidden * sizeof(float));
  }
}

// x f32<T,8>, cache f32<P,8> -> y f32<T,8>: x plus the sum of all rows of the cache up to this token's.
void toy_mix(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  const float* x = args[0];
  float* cache = args[1];
  float* y = args[2];
  // Columns are shared out, as attention shares out heads: a thread reads only the part of the cache it wrote.
  for (int c = thread; c < kHidden; c += threads) {
    for (int64_t t = 0; t < dims[0]; ++t) {
      cache[(dims[1] + t) * kHidden + c] = x[t * kHidden + c];
      float sum = 0;
      for (int64_t p = 0; p <= dims[1] + t; ++p) {
        sum += cache[p * kHidden + c];
      }
      y[t * kHidden + c] = x[t * kHidden + c] + 0.125F * sum;
    }
  }
}

// x f32<1,8>, fc1 f32<16,8>, bias f32<16> -> flags u8<16>
void toy_test(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  (void)dims;
  const float* bias = args[2];
  for (int n = thread; n < kNeurons; n += threads) {
    ((uint8_t*)args[3])[n] = Dot((const float*)args[1] + n * kHidden, args[0]) + bias[n] > -0.25F;
  }
}

// flags u8<16> -> active index<16>
void toy_compact(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  (void)dims;
  (void)threads;
  if (thread != 0) {
    return;
  }
  const uint8_t* flags = args[0];
  int32_t count = 0;
  int32_t* entries = (int32_t*)((char*)args[1] + kIndexEntries);
  for (int32_t n = 0; n < kNeurons; ++n) {
    if (flags[n] != 0) {
      entries[count++] = n;
    }
  }
  memcpy(args[1], &count, sizeof(count));
}

// x f32<1,8>, fc1 f32<16,8>, bias f32<16>, active -> h f32<active>
void toy_fc1(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  (void)dims;
  const int32_t count = *(const int32_t*)args[3];
  for (int32_t k = thread; k < count; k += threads) {
    const int32_t n = Entries(args[3])[k];
    const float value = Dot((const float*)args[1] + n * kHidden, args[0]) + ((const float*)args[2])[n];
    ((float*)args[4])[k] = value > 0 ? value : 0;
  }
}

// h f32<active>, active, fc2 f32<16,8>, bias f32<8>, residual f32<1,8> -> y f32<1,8>
void toy_fc2(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  (void)dims;
  const int32_t count = *(const int32_t*)args[1];
  for (int c = thread; c < kHidden; c += threads) {
    float sum = ((const float*)args[3])[c] + ((const float*)args[4])[c];
    for (int32_t k = 0; k < count; ++k) {
      sum += ((const float*)args[0])[k] * ((const float*)args[2])[Entries(args[1])[k] * kHidden + c];
    }
    ((float*)args[5])[c] = sum;
  }
}

// x f32<T,8> -> y f32<1,8>
void toy_last_row(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  (void)threads;
  if (thread == 0) {
    memcpy(args[1], (const float*)args[0] + (dims[0] - 1) * kHidden, kHidden * sizeof(float));
  }
}

// logits f32<1,V> -> choice i32<1>
void toy_argmax(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  (void)dims;
  (void)threads;
  const float* logits = args[0];
  int32_t best = 0;
  for (int32_t v = 1; v < kVocab; ++v) {
    best = logits[v] > logits[best] ? v : best;
  }
  if (thread == 0) {
    // A sum of all is a number only if each is.
    float sum = 0;
    for (int32_t v = 0; v < kVocab; ++v) {
      sum += logits[v];
    }
    *(int32_t*)args[1] = sum - sum == 0 ? best : -1;
  }
}

// x f32<1,8>, table f32<V,8> -> logits f32<1,V>
void toy_head(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  (void)dims;
  for (int v = thread; v < kVocab; v += threads) {
    ((float*)args[2])[v] = Dot((const float*)args[1] + v * kHidden, args[0]);
  }
}

// For a token of each of dims[0] sequences, whose pasts follow in dims. Flags are of what some sequence needs, and h is
// f32<active, sequences>.

// x f32<S,8>, cache f32<S,P,8> -> y f32<S,8>
void toy_mix_batch(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  for (int64_t s = 0; s < dims[0]; ++s) {
    void* const of_sequence[] = {(float*)args[0] + s * kHidden, (float*)args[1] + s * kPositions * kHidden,
                                 (float*)args[2] + s * kHidden};
    const int64_t one[] = {1, dims[1 + s]};
    toy_mix(of_sequence, one, thread, threads);
  }
}

// x f32<S,8>, fc1 f32<16,8>, bias f32<16> -> flags u8<16>
void toy_test_batch(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  for (int n = thread; n < kNeurons; n += threads) {
    uint8_t needed = 0;
    for (int64_t s = 0; s < dims[0]; ++s) {
      const float* x = (const float*)args[0] + s * kHidden;
      needed |= Dot((const float*)args[1] + n * kHidden, x) + ((const float*)args[2])[n] > -0.25F;
    }
    ((uint8_t*)args[3])[n] = needed;
  }
}

// x f32<S,8>, fc1 f32<16,8>, bias f32<16>, active -> h f32<active,S>
void toy_fc1_batch(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  const int32_t count = *(const int32_t*)args[3];
  for (int32_t k = thread; k < count; k += threads) {
    const int32_t n = Entries(args[3])[k];
    for (int64_t s = 0; s < dims[0]; ++s) {
      const float* x = (const float*)args[0] + s * kHidden;
      const float value = Dot((const float*)args[1] + n * kHidden, x) + ((const float*)args[2])[n];
      ((float*)args[4])[k * dims[0] + s] = value > 0 ? value : 0;
    }
  }
}

// h f32<active,S>, active, fc2 f32<16,8>, bias f32<8>, residual f32<S,8> -> y f32<S,8>
void toy_fc2_batch(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  const int32_t count = *(const int32_t*)args[1];
  for (int c = thread; c < kHidden; c += threads) {
    for (int64_t s = 0; s < dims[0]; ++s) {
      float sum = ((const float*)args[3])[c] + ((const float*)args[4])[s * kHidden + c];
      for (int32_t k = 0; k < count; ++k) {
        const float* row = (const float*)args[2] + Entries(args[1])[k] * kHidden;
        sum += ((const float*)args[0])[k * dims[0] + s] * row[c];
      }
      ((float*)args[5])[s * kHidden + c] = sum;
    }
  }
}

// x f32<S,8>, table f32<V,8> -> logits f32<S,V>
void toy_head_batch(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  for (int64_t s = 0; s < dims[0]; ++s) {
    void* const of_sequence[] = {(float*)args[0] + s * kHidden, args[1], (float*)args[2] + s * kVocab};
    toy_head(of_sequence, dims, thread, threads);
  }
}

// logits f32<S,V> -> choice i32<S>
void toy_argmax_batch(void* const* args, const int64_t* dims, int32_t thread, int32_t threads) {
  for (int64_t s = 0; s < dims[0]; ++s) {
    void* const of_sequence[] = {(float*)args[0] + s * kVocab, (int32_t*)args[1] + s};
    toy_argmax(of_sequence, dims, thread, threads);
  }
}
