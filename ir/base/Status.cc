#include "ir/base/Status.h"

#include <iostream>

namespace dejavu {

absl::Status WithContext(const absl::Status& status, absl::string_view context) {
  if (status.ok()) {
    return status;
  }
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kFailedPrecondition:
      return 2;
    case absl::StatusCode::kInternal:
      return 70;
    default:
      return 1;
  }
}

int ReportAndExitCode(absl::string_view tool, const absl::Status& status) {
  const int code = ExitCode(status);
  if (code == 0) {
    return 0;
  }
  if (code == 70) {
    std::cerr << tool << ": internal error: " << status.message() << "\n"
              << "This is a bug in DejaVu, not in your input. Please report it with the command line, the version "
                 "(--version) and, if you can share it, the input.\n";
    return code;
  }
  std::cerr << tool << ": error: " << status.message() << "\n";
  return code;
}

}  // namespace dejavu
