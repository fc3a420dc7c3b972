// The quality contract: how much worse than the dense model an artifact may be, and which layers must be dense for it.
#ifndef DEJAVU_TOOLS_DRIVER_CONTRACT_H_
#define DEJAVU_TOOLS_DRIVER_CONTRACT_H_

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/driver/Intervals.h"

namespace dejavu {

struct ContractBounds {
  std::optional<double> max_ppl_increase;  ///< Of the perplexity, as a share of the dense model's.
  std::optional<double> max_kl;            ///< Mean divergence from the dense model, in nats.
  std::optional<double> max_icl_drop;      ///< Share of answers, of each task of in-context learning.
  std::string text;                        ///< File of held-out text, for the first two.
  int64_t tokens = 20480;                  ///< How many tokens of it are scored, in whole windows; at least two.

  [[nodiscard]] bool any() const { return max_ppl_increase || max_kl || max_icl_drop; }
};

/// What the contract asks of the compiler.
struct ContractBuild {
  int64_t layers = 0;  ///< Known after the first call of `compile`.
  /// Compiles an artifact for `device` in which these layers are dense, or all if there is nothing; returns its path,
  /// which no other artifact has had.
  std::function<absl::StatusOr<std::string>(const std::optional<std::vector<int64_t>>& dense_layers)> compile;
  std::string device = "cpu";
  int threads = 0;     ///< 0 = every core.
  bool fixed = false;  ///< Nothing may be demoted: the densities were given.
};

/// One bound. It holds if the upper end of the interval is within it.
struct ContractTerm {
  std::string name;  ///< As the flag, such as "max-kl".
  std::string what;  ///< For people.
  double bound = 0;
  Interval measured;

  [[nodiscard]] bool holds() const { return measured.high <= bound; }
};

struct ContractOutcome {
  std::vector<ContractTerm> terms;
  std::vector<int64_t> dense_layers;
  double bytes_per_token = 0;
  double dense_bytes_per_token = 0;
  int64_t tokens = 0;                 ///< Of held-out text; 0 without.
  std::optional<uint64_t> text_hash;  ///< XXH3-64 of the file.

  [[nodiscard]] bool holds() const;
};

/// Compares artifacts with the dense one on the shipped decode kernels and demotes layers to dense until all bounds
/// hold with their intervals: first the layer without whose sparsity the model comes closest to the dense one on two
/// windows, and so on. A user error if a fixed build breaks a bound, which names the layers to blame, if the result
/// reads no fewer bytes than the dense model, and if the text is too short.
[[nodiscard]] absl::StatusOr<ContractOutcome> MeetContract(const ContractBounds& bounds, const ContractBuild& build);

/// For the manifest.
[[nodiscard]] nlohmann::json ContractJson(const ContractOutcome& outcome);
/// An aligned table of bounds and what was measured.
[[nodiscard]] std::string ContractTable(const ContractOutcome& outcome);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_CONTRACT_H_
