// Reads numpy's .npz files, in which the models' expected outputs are kept.
#ifndef DEJAVU_TESTS_SUPPORT_NPZ_H_
#define DEJAVU_TESTS_SUPPORT_NPZ_H_

#include <map>
#include <string>

#include "ir/interp/Tensor.h"

namespace dejavu {

/// The arrays of the file by name, without ".npy". Only what numpy.savez writes: uncompressed, in C order.
[[nodiscard]] absl::StatusOr<std::map<std::string, Tensor>> ReadNpz(const std::string& path);

}  // namespace dejavu

#endif  // DEJAVU_TESTS_SUPPORT_NPZ_H_
