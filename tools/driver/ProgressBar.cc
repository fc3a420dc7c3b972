#include "tools/driver/ProgressBar.h"

#include <unistd.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace dejavu {
namespace {

constexpr int kColumns = 30;
constexpr std::chrono::milliseconds kInterval(100);
// Clears from the cursor to the end of the line.
constexpr char kClear[] = "\r\033[K";

}  // namespace

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)), enabled_(isatty(STDERR_FILENO) != 0), start_(Clock::now()) {}

ProgressBar::~ProgressBar() {
  if (drawn_) {
    std::cerr << kClear << std::flush;
  }
}

void ProgressBar::Update(int64_t done, int64_t total, const std::string& note) {
  const Clock::time_point now = Clock::now();
  if (!enabled_ || total <= 0 || done <= 0 || (drawn_ && now - last_ < kInterval)) {
    return;
  }
  last_ = now;
  drawn_ = true;
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const auto filled = static_cast<size_t>(share * kColumns);
  std::cerr << kClear << label_ << " [" << std::string(filled, '#') << std::string(kColumns - filled, '.')
            << absl::StrFormat("] %3.0f%%  ", share * 100) << DurationText(seconds / share - seconds) << " left"
            << (note.empty() ? "" : "  ") << note << std::flush;
}

std::string DurationText(double seconds) {
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) {
    return absl::StrCat(whole, " s");
  }
  if (whole < 3600) {
    return absl::StrFormat("%d min %02d s", whole / 60, whole % 60);
  }
  return absl::StrFormat("%d h %02d min", whole / 3600, whole / 60 % 60);
}

}  // namespace dejavu
