// Element types of tensors and the conversions between them.
#ifndef DEJAVU_IR_BASE_DTYPE_H_
#define DEJAVU_IR_BASE_DTYPE_H_

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace dejavu {

/// `kIndex` is a list of neuron or head numbers; in memory it is an int32 count, padding to 64 bytes, then int32 each.
enum class DType : uint8_t { kF64, kF32, kF16, kBF16, kI64, kI32, kI16, kI8, kU8, kBool, kIndex };

/// The name in IR text: f64 f32 f16 bf16 i64 i32 i16 i8 u8 bool index.
[[nodiscard]] std::string_view DTypeName(DType dtype);
[[nodiscard]] std::optional<DType> ParseDType(std::string_view name);
/// Bytes per element; 4 for kIndex.
[[nodiscard]] size_t DTypeSize(DType dtype);
[[nodiscard]] bool IsFloat(DType dtype);

/// IEEE half and bfloat16 conversions. To half and bfloat16 rounds to nearest even; subnormals, infinities and NaNs are
/// kept.
[[nodiscard]] float HalfToFloat(uint16_t bits);
[[nodiscard]] uint16_t FloatToHalf(float value);
[[nodiscard]] std::vector<uint16_t> FloatsToHalves(std::span<const float> values);
[[nodiscard]] inline float BFloat16ToFloat(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16U);
}
[[nodiscard]] uint16_t FloatToBFloat16(float value);

/// Reads element `index` of the packed array `data` of a float or integer `dtype` as a double. `data` may be unaligned.
[[nodiscard]] double LoadAsDouble(DType dtype, const void* data, size_t index);
/// The same of an integer `dtype`; a double would not hold every 64-bit integer.
[[nodiscard]] int64_t LoadAsInteger(DType dtype, const void* data, size_t index);

}  // namespace dejavu

#endif  // DEJAVU_IR_BASE_DTYPE_H_
