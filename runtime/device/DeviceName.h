// The names that --device= takes.
#ifndef DEJAVU_RUNTIME_DEVICE_DEVICENAME_H_
#define DEJAVU_RUNTIME_DEVICE_DEVICENAME_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace dejavu {

/// "cuda:2" taken apart.
struct DeviceName {
  std::string kind;  ///< "cpu" or "cuda"; also the name of the artifact's target.
  int number = 0;    ///< Of several devices of that kind.
};

/// Of "cpu", "cuda" and "cuda:N"; anything else is a usage error.
[[nodiscard]] absl::StatusOr<DeviceName> ParseDeviceName(std::string_view text);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_DEVICE_DEVICENAME_H_
