// Half-precision weights to float, many at a time.
#ifndef DEJAVU_RUNTIME_CPU_WIDEN_H_
#define DEJAVU_RUNTIME_CPU_WIDEN_H_

#include <cstddef>
#include <cstdint>

#include "ir/base/DType.h"

namespace dejavu {

/// Converts `count` elements exactly. `dtype` is f16, bf16 or f32 (a copy); `in` has the dtype's alignment.
void Widen(DType dtype, const void* in, float* out, size_t count);

/// The f16 conversion by integer operations only, as Widen() does it on processors without F16C.
void WidenHalfPortable(const uint16_t* in, float* out, size_t count);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_CPU_WIDEN_H_
