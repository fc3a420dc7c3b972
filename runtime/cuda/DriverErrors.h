// What the driver's error numbers mean, and whose fault each is.
#ifndef DEJAVU_RUNTIME_CUDA_DRIVERERRORS_H_
#define DEJAVU_RUNTIME_CUDA_DRIVERERRORS_H_

#include <string_view>

#include "runtime/cuda/DriverTypes.h"

namespace dejavu::cuda {

/// kMachine: driver, device or permissions. kMemory: the device's is full. kName: a symbol that isn't there. kUs: a
/// wrong call or a wrong kernel.
enum class Blame { kMachine, kMemory, kName, kUs };

struct DriverError {
  Result result = 0;
  const char* name = "";
  Blame blame = Blame::kMachine;
  const char* words = "";  ///< What happened, and what the user can do where there is something.
};

/// The entry of `result`; for a number that isn't listed, one that says so with result -1.
[[nodiscard]] const DriverError& FindDriverError(Result result);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_DRIVERERRORS_H_
