// Tensors that an artifact describes instead of storing: those of a synthetic model.
#ifndef DEJAVU_RUNTIME_ARTIFACT_SYNTHETICTENSOR_H_
#define DEJAVU_RUNTIME_ARTIFACT_SYNTHETICTENSOR_H_

#include <cstdint>
#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "ir/base/SyntheticFill.h"
#include "runtime/artifact/Json.h"

namespace dejavu {

/// The most numbers of a pattern, and seeds of a grid, that devices take.
inline constexpr size_t kMaxSyntheticList = 4;

/// A vector has one column.
struct SyntheticTensor {
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t columns = 1;
  SyntheticFill fill = {};

  [[nodiscard]] int64_t bytes() const { return rows * columns * static_cast<int64_t>(DTypeSize(dtype)); }
};

/// One entry of the manifest's "synthetic". An error names the field: another dtype than f32, f16, bf16 or i8, extents
/// below 1 or too large to count the bytes, neither a pattern nor a grid, rows that the seeds don't divide, numbers
/// that an i8 cannot hold.
[[nodiscard]] absl::StatusOr<SyntheticTensor> ParseSyntheticTensor(const JsonObject& object);
[[nodiscard]] nlohmann::json SyntheticTensorToJson(const SyntheticTensor& tensor);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_SYNTHETICTENSOR_H_
