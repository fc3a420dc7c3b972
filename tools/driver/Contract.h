// The quality contract: how much worse than the dense model an artifact may be, and what its layers may choose by it.
#ifndef DEJAVU_TOOLS_DRIVER_CONTRACT_H_
#define DEJAVU_TOOLS_DRIVER_CONTRACT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/driver/Intervals.h"

namespace dejavu {

/// What an allocation makes small.
enum class Prices : uint8_t {
  kTime,   ///< What the layers' launches take on the device, measured in turns with the dense model's.
  kBytes,  ///< What they read and write, at kBytesPerMicrosecond.
};
inline constexpr double kBytesPerMicrosecond = 1e5;

struct ContractBounds {
  std::optional<double> max_ppl_increase;  ///< Of the perplexity, as a share of the dense model's.
  std::optional<double> max_kl;            ///< Mean divergence from the dense model, in nats.
  std::optional<double> max_icl_drop;      ///< Share of answers, of each task of in-context learning.
  std::string text;                        ///< File of held-out text, for the first two.
  int64_t tokens = 20480;                  ///< How many tokens of it are scored, in whole windows; at least two.

  [[nodiscard]] bool any() const { return max_ppl_increase || max_kl || max_icl_drop; }
};

inline constexpr std::string_view kHeadsFamily = "heads/";
/// The candidate that is the pipeline's own predictors.
inline constexpr const char* kGiven = "given";

/// What the contract asks of the compiler.
struct ContractBuild {
  int64_t layers = 0;  ///< Known after the first call of `compile`.
  /// What a layer may have beside being dense, for people; choice 1 is the first. Choices with the same first word, up
  /// to a slash, are of one family. Those that begin with kHeadsFamily are for a layer's attention, others for its MLP;
  /// a single one is for both.
  std::vector<std::string> candidates = {kGiven};
  /// Compiles an artifact for `device` in which each layer's MLP and, if a candidate is for attentions, then each
  /// layer's attention has this choice, or all that may if there is one number only: 0 is dense. Returns its path,
  /// which no other artifact has had.
  std::function<absl::StatusOr<std::string>(const std::vector<size_t>& choices)> compile;
  std::string device = "cpu";
  int threads = 0;     ///< Of the CPU, all jobs together; 0 = every core.
  int jobs = 1;        ///< Sequences, and windows where prices are bytes, that are decoded side by side.
  bool fixed = false;  ///< Nothing may be demoted: the densities were given.
  Prices prices = Prices::kTime;
};

/// One bound. It holds if the upper end of the interval is within it.
struct ContractTerm {
  std::string name;  ///< As the flag, such as "max-kl".
  std::string what;  ///< For people.
  double bound = 0;
  Interval measured;

  [[nodiscard]] bool holds() const { return measured.high <= bound; }
};

/// What one layer got.
struct AllocatedLayer {
  std::string choice;                 ///< Of the MLP: "dense" or a candidate.
  std::string heads;                  ///< The same of the attention, if some candidate is for it; else empty.
  double damage = 0;                  ///< Estimated, in nats of the divergence.
  double predicted_microseconds = 0;  ///< By the price of the choice.
  double microseconds = 0;            ///< Of its launches in the artifact that was judged.
  double dense_microseconds = 0;      ///< Of the dense model's, in the same run.
  double bytes = 0;
  double dense_bytes = 0;
};

/// One artifact that was measured on the way.
struct TriedArtifact {
  std::string name;  ///< A candidate, for all layers, or "allocation".
  double ppl_increase = 0;
  double kl = 0;
  double bytes_per_token = 0;
  double microseconds = 0;  ///< Of all launches, beside TokenCosts of a dense model that takes `dense_microseconds`.
  bool held_out = false;    ///< Measured on the part of the text that judges; otherwise on that for choosing.
};

struct ContractOutcome {
  std::vector<ContractTerm> terms;
  std::vector<int64_t> dense_layers;  ///< In all that they could choose.
  double bytes_per_token = 0;
  double dense_bytes_per_token = 0;
  int64_t tokens = 0;                 ///< Of held-out text; 0 without.
  std::optional<uint64_t> text_hash;  ///< XXH3-64 of the file.
  std::vector<size_t> choices;        ///< As for ContractBuild::compile.
  double ppl = 0;                     ///< On the held-out text; 0 without.
  double dense_ppl = 0;
  // What follows is there if layers had to choose.
  std::vector<AllocatedLayer> layers;
  std::vector<TriedArtifact> tried;
  int64_t choosing_tokens = 0;    ///< Of the text's beginning, which the choice saw.
  double microseconds = 0;        ///< Of all launches, one after the other, in the artifact that was judged.
  double dense_microseconds = 0;  ///< Of the dense model.

  [[nodiscard]] bool holds() const;
};

/// Finds out what each layer may have, on the shipped decode kernels.
///
/// With several candidates: each, for all layers, is priced and compared with the dense model on a window of the text;
/// then each layer by itself with the boldest candidate of each family; damages of the others follow from what they
/// miss. Attentions choose as MLPs do, from candidates of their own, each of which is measured by itself. Layers walk
/// from their fastest choices towards dense (PlanWalk) until the bounds hold on the text's beginning. The rest of the
/// text, which the choice never saw, judges with an interval, and the walk goes on while a bound is broken.
///
/// With one candidate, all layers have it if that holds; otherwise as above.
///
/// A user error if a fixed build breaks a bound, which names the layers to blame, if the result reads no fewer bytes
/// than the dense model, and if the text is too short.
[[nodiscard]] absl::StatusOr<ContractOutcome> MeetContract(const ContractBounds& bounds, ContractBuild& build);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_CONTRACT_H_
