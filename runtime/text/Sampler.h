// Chooses the next token from logits: greedy, or at random with temperature, top-k and top-p.
#ifndef DEJAVU_RUNTIME_TEXT_SAMPLER_H_
#define DEJAVU_RUNTIME_TEXT_SAMPLER_H_

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace dejavu {

/// The defaults choose greedily.
struct SamplingOptions {
  double temperature = 0;  // divides the logits; 0 takes the highest logit
  int32_t top_k = 0;       // only the k highest logits; 0 for all
  double top_p = 1;        // then only the most probable tokens whose probabilities sum to at least this; 1 for all
  uint64_t seed = 0;       // equal seeds give equal choices on every platform
};

/// A user error that names the flag (--temperature, --top-k, --top-p) of a value that is out of range.
[[nodiscard]] absl::Status ValidateSamplingOptions(const SamplingOptions& options);

/// One stream of choices; not for use by several threads at once.
class Sampler {
 public:
  /// Refuses what ValidateSamplingOptions() refuses.
  [[nodiscard]] static absl::StatusOr<Sampler> Create(const SamplingOptions& options);

  /// The id of the chosen token: an index into `logits` (vocabulary). Of equal logits the lowest id wins or ranks
  /// first. Negative infinity never wins. A NaN, a positive infinity or no finite logit at all is an error: the model
  /// is broken.
  [[nodiscard]] absl::StatusOr<int32_t> Sample(std::span<const float> logits);

  [[nodiscard]] const SamplingOptions& options() const { return options_; }

 private:
  struct Candidate {
    float logit = 0;
    int32_t id = 0;
    double weight = 0;  // exp((logit - highest) / temperature): the probability before normalisation
  };

  explicit Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}
  // Fills candidates_ with every token whose logit is finite.
  void SetCandidates(std::span<const float> logits, float highest);
  // Leaves those that top-k and top-p allow, most probable first.
  void Restrict();
  // Uniform in [0, 1).
  double Uniform();

  SamplingOptions options_;
  std::mt19937_64 random_;  // the standard fixes its output, but not that of its distributions
  std::vector<Candidate> candidates_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_TEXT_SAMPLER_H_
