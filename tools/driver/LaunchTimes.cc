#include "tools/driver/LaunchTimes.h"

#include "tools/driver/Distribution.h"

namespace dejavu {

LaunchTimes::LaunchTimes(const Statistics& statistics, size_t most)
    : statistics_(statistics), most_(most), times_(statistics.launches().size()) {
  for (size_t i = 0; i < times_.size(); ++i) {
    times_[i].total = statistics.launches()[i].nanoseconds;
  }
}

void LaunchTimes::AddStep() {
  for (size_t i = 0; i < times_.size(); ++i) {
    const int64_t total = statistics_.launches()[i].nanoseconds;
    if (times_[i].steps.size() < most_) {
      times_[i].steps.push_back(static_cast<double>(total - times_[i].total) / 1e3);
    }
    times_[i].total = total;
  }
}

std::vector<double> LaunchTimes::Medians() const {
  std::vector<double> medians;
  for (const Series& series : times_) {
    medians.push_back(series.steps.empty() ? 0 : Percentile(series.steps, 0.5));
  }
  return medians;
}

}  // namespace dejavu
