#include "runtime/cpu/Widen.h"

#include <bit>
#include <cstring>

#include "runtime/cpu/CpuFeatures.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dejavu {
namespace {

#if defined(__x86_64__)
__attribute__((target("avx,f16c"))) void WidenHalfF16c(const uint16_t* in, float* out, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(half));
  }
  for (; i < count; ++i) {
    out[i] = HalfToFloat(in[i]);
  }
}
#endif

void WidenHalf(const uint16_t* in, float* out, size_t count) {
#if defined(__x86_64__)
  if (HasLevel3()) {
    WidenHalfF16c(in, out, count);
    return;
  }
#endif
  WidenHalfPortable(in, out, count);
}

}  // namespace

void WidenHalfPortable(const uint16_t* in, float* out, size_t count) {
  // Without branches, so that the compiler vectorises it; see HalfToFloat() for the arithmetic.
  for (size_t i = 0; i < count; ++i) {
    const uint32_t sign = static_cast<uint32_t>(in[i] & 0x8000U) << 16U;
    const uint32_t shifted = static_cast<uint32_t>(in[i] & 0x7FFFU) << 13U;
    const uint32_t finite = std::bit_cast<uint32_t>(std::bit_cast<float>(shifted) * 0x1p112F);
    const uint32_t infinite = shifted | 0x7F800000U;
    out[i] = std::bit_cast<float>(sign | (shifted >= 0x0F800000U ? infinite : finite));
  }
}

void Widen(DType dtype, const void* in, float* out, size_t count) {
  const auto* halves = static_cast<const uint16_t*>(in);
  if (dtype == DType::kF16) {
    WidenHalf(halves, out, count);
  } else if (dtype == DType::kBF16) {
    for (size_t i = 0; i < count; ++i) {
      out[i] = BFloat16ToFloat(halves[i]);
    }
  } else {
    std::memcpy(out, in, count * sizeof(float));
  }
}

}  // namespace dejavu
