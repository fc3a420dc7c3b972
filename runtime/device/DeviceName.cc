#include "runtime/device/DeviceName.h"

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "ir/base/Status.h"

namespace dejavu {
namespace {

constexpr std::string_view kNumberedPrefix = "cuda:";
constexpr size_t kMaxDigits = 5;

}  // namespace

absl::StatusOr<DeviceName> ParseDeviceName(std::string_view text) {
  if (text == "cpu" || text == "cuda") {
    return DeviceName{std::string(text), 0};
  }
  DeviceName name{"cuda", 0};
  if (text.starts_with(kNumberedPrefix)) {
    const std::string_view digits = text.substr(kNumberedPrefix.size());
    const bool is_number = !digits.empty() && digits.size() <= kMaxDigits &&
                           digits.find_first_not_of("0123456789") == std::string_view::npos;
    if (is_number && absl::SimpleAtoi(absl::string_view(digits.data(), digits.size()), &name.number)) {
      return name;
    }
  }
  return UsageError("unknown device '", absl::string_view(text.data(), text.size()), "'; use cpu, cuda or cuda:N");
}

}  // namespace dejavu
