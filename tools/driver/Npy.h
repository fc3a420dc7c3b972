// NumPy's file format for arrays.
#ifndef DEJAVU_TOOLS_DRIVER_NPY_H_
#define DEJAVU_TOOLS_DRIVER_NPY_H_

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"

namespace dejavu {

/// Writes a float32 array of shape (rows, columns) to `path`, atomically; `values` are row-major.
[[nodiscard]] absl::Status WriteNpy(const std::string& path, std::span<const float> values, int64_t rows,
                                    int64_t columns);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_NPY_H_
