#include "ir/base/DType.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace dejavu {
namespace {

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  size_t size;
};

constexpr std::array<DTypeInfo, 11> kInfos = {{{DType::kF64, "f64", 8},
                                               {DType::kF32, "f32", 4},
                                               {DType::kF16, "f16", 2},
                                               {DType::kBF16, "bf16", 2},
                                               {DType::kI64, "i64", 8},
                                               {DType::kI32, "i32", 4},
                                               {DType::kI16, "i16", 2},
                                               {DType::kI8, "i8", 1},
                                               {DType::kU8, "u8", 1},
                                               {DType::kBool, "bool", 1},
                                               {DType::kIndex, "index", 4}}};

template <typename T>
T Load(const void* data, size_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * sizeof(T), sizeof(T));
  return value;
}

}  // namespace

std::string_view DTypeName(DType dtype) { return kInfos[static_cast<size_t>(dtype)].name; }

std::optional<DType> ParseDType(std::string_view name) {
  for (const DTypeInfo& info : kInfos) {
    if (info.name == name) {
      return info.dtype;
    }
  }
  return std::nullopt;
}

size_t DTypeSize(DType dtype) { return kInfos[static_cast<size_t>(dtype)].size; }

bool IsFloat(DType dtype) {
  return dtype == DType::kF64 || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

float HalfToFloat(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16U;
  const uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) {
    return std::bit_cast<float>(sign | 0x7F800000U | ((magnitude & 0x3FFU) << 13U));
  }
  // Shifting the exponent into place leaves it 112 too small; the product repairs normal and subnormal numbers alike.
  const float scaled = std::bit_cast<float>(magnitude << 13U) * 0x1p112F;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(scaled));
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>((bits >> 16U) & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude >= 0x7F800000U) {
    const bool is_nan = magnitude > 0x7F800000U;
    return static_cast<uint16_t>(sign | 0x7C00U | (is_nan ? 0x200U | ((magnitude >> 13U) & 0x3FFU) : 0U));
  }
  if (magnitude < 0x38800000U) {
    // Subnormal half: count multiples of 2^-24; nearbyint rounds to even.
    const float units = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24F);
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(units));
  }
  const uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13U) & 1U);
  if (rounded >= 0x47800000U) {
    return static_cast<uint16_t>(sign | 0x7C00U);
  }
  return static_cast<uint16_t>(sign | ((rounded - 0x38000000U) >> 13U));
}

std::vector<uint16_t> FloatsToHalves(std::span<const float> values) {
  std::vector<uint16_t> halves(values.size());
  std::transform(values.begin(), values.end(), halves.begin(), FloatToHalf);
  return halves;
}

uint16_t FloatToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    return static_cast<uint16_t>((bits >> 16U) | 0x40U);
  }
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

double LoadAsDouble(DType dtype, const void* data, size_t index) {
  switch (dtype) {
    case DType::kF64:
      return Load<double>(data, index);
    case DType::kF32:
      return Load<float>(data, index);
    case DType::kF16:
      return HalfToFloat(Load<uint16_t>(data, index));
    case DType::kBF16:
      return BFloat16ToFloat(Load<uint16_t>(data, index));
    case DType::kI64:
      return static_cast<double>(Load<int64_t>(data, index));
    case DType::kI32:
    case DType::kIndex:
      return Load<int32_t>(data, index);
    case DType::kI16:
      return Load<int16_t>(data, index);
    case DType::kI8:
      return Load<int8_t>(data, index);
    case DType::kU8:
    case DType::kBool:
      return Load<uint8_t>(data, index);
  }
  return 0;
}

int64_t LoadAsInteger(DType dtype, const void* data, size_t index) {
  return dtype == DType::kI64 ? Load<int64_t>(data, index) : static_cast<int64_t>(LoadAsDouble(dtype, data, index));
}

}  // namespace dejavu
