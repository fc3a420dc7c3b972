#include "runtime/text/Sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "ir/base/Status.h"

namespace dejavu {
namespace {

// The id of the highest logit, the lowest such id.
absl::StatusOr<int32_t> FindHighest(std::span<const float> logits) {
  int32_t highest = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    const float logit = logits[i];
    if (std::isnan(logit) || logit == std::numeric_limits<float>::infinity()) {
      return UserError("the model's logit of token ", i, " is ", std::isnan(logit) ? "not a number" : "infinite",
                       "; its weights are damaged or its numbers overflow");
    }
    if (std::isfinite(logit) && (highest < 0 || logit > logits[static_cast<size_t>(highest)])) {
      highest = static_cast<int32_t>(i);
    }
  }
  if (highest < 0) {
    return UserError("the model has no finite logit among ", logits.size(),
                     "; its weights are damaged or its numbers overflow");
  }
  return highest;
}

}  // namespace

absl::Status ValidateSamplingOptions(const SamplingOptions& options) {
  if (!std::isfinite(options.temperature) || options.temperature < 0) {
    return UsageError("--temperature must be a number of at least 0, but is ", options.temperature);
  }
  if (options.top_k < 0) {
    return UsageError("--top-k must be at least 0 (0 keeps all tokens), but is ", options.top_k);
  }
  const bool is_share = options.top_p > 0 && options.top_p <= 1;
  if (!is_share) {
    return UsageError("--top-p must be above 0 and at most 1, but is ", options.top_p);
  }
  return absl::OkStatus();
}

absl::StatusOr<Sampler> Sampler::Create(const SamplingOptions& options) {
  RETURN_IF_ERROR(ValidateSamplingOptions(options));
  return Sampler(options);
}

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> logits) {
  ASSIGN_OR_RETURN(const int32_t highest, FindHighest(logits));
  if (options_.temperature == 0) {
    return highest;
  }
  SetCandidates(logits, logits[static_cast<size_t>(highest)]);
  if (options_.top_k > 0 || options_.top_p < 1) {
    Restrict();
  }
  double total = 0;
  for (const Candidate& candidate : candidates_) {
    total += candidate.weight;
  }
  double rest = Uniform() * total;
  for (const Candidate& candidate : candidates_) {
    if (rest < candidate.weight) {
      return candidate.id;
    }
    rest -= candidate.weight;
  }
  // Rounding used up what was left for the last ones.
  return highest;
}

void Sampler::SetCandidates(std::span<const float> logits, float highest) {
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isfinite(logits[i])) {
      const double distance = static_cast<double>(logits[i]) - highest;
      candidates_.push_back({logits[i], static_cast<int32_t>(i), std::exp(distance / options_.temperature)});
    }
  }
}

void Sampler::Restrict() {
  // A heap orders only as many tokens as are kept, which are few even where the vocabulary is large.
  const auto ranks_lower = [](const Candidate& a, const Candidate& b) {
    return std::pair(a.logit, b.id) < std::pair(b.logit, a.id);
  };
  std::vector<Candidate> heap = std::exchange(candidates_, {});
  std::make_heap(heap.begin(), heap.end(), ranks_lower);
  const auto take = [&] {
    std::pop_heap(heap.begin(), heap.end(), ranks_lower);
    candidates_.push_back(heap.back());
    heap.pop_back();
  };
  const size_t limit = options_.top_k == 0 ? heap.size() : std::min(heap.size(), static_cast<size_t>(options_.top_k));
  double total = 0;
  if (limit < heap.size()) {
    // The nucleus is that of the distribution which top-k left.
    while (candidates_.size() < limit) {
      take();
      total += candidates_.back().weight;
    }
  } else {
    for (const Candidate& candidate : heap) {
      total += candidate.weight;
    }
  }
  double sum = 0;
  for (size_t i = 0; i < limit; ++i) {
    if (i == candidates_.size()) {
      take();
    }
    sum += candidates_[i].weight;
    if (options_.top_p < 1 && sum >= options_.top_p * total) {
      candidates_.resize(i + 1);
      break;
    }
  }
}

double Sampler::Uniform() { return static_cast<double>(random_() >> 11U) * 0x1p-53; }

}  // namespace dejavu
