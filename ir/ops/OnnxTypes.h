// The element type numbers of ONNX files (TensorProto.DataType), which also stand in attributes such as Cast's `to`.
#ifndef DEJAVU_IR_OPS_ONNXTYPES_H_
#define DEJAVU_IR_OPS_ONNXTYPES_H_

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "ir/base/DType.h"

namespace dejavu {

inline constexpr std::array<std::pair<int64_t, DType>, 10> kOnnxTypes = {{{1, DType::kF32},
                                                                          {2, DType::kU8},
                                                                          {3, DType::kI8},
                                                                          {5, DType::kI16},
                                                                          {6, DType::kI32},
                                                                          {7, DType::kI64},
                                                                          {9, DType::kBool},
                                                                          {10, DType::kF16},
                                                                          {11, DType::kF64},
                                                                          {16, DType::kBF16}}};

/// The element type with ONNX's number `number`, or nothing for those that DejaVu has no use for (strings, complex
/// ...).
[[nodiscard]] constexpr std::optional<DType> DTypeFromOnnx(int64_t number) {
  for (const auto& [onnx, dtype] : kOnnxTypes) {
    if (onnx == number) {
      return dtype;
    }
  }
  return std::nullopt;
}

}  // namespace dejavu

#endif  // DEJAVU_IR_OPS_ONNXTYPES_H_
