// What each choice costs each place of the quality contract: measured prices and damages.
#ifndef DEJAVU_TOOLS_DRIVER_CONTRACTCOSTS_H_
#define DEJAVU_TOOLS_DRIVER_CONTRACTCOSTS_H_

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tools/driver/Allocation.h"
#include "tools/driver/Contract.h"
#include "tools/driver/ContractJudge.h"

namespace dejavu {

/// Nats. Damages of layers add up while they are small.
inline constexpr double kSmallDivergence = 0.3;

/// What chooses: each layer's MLP, then, if some candidate is for heads, each layer's attention.
class ContractPlaces {
 public:
  explicit ContractPlaces(const ContractBuild& build);

  [[nodiscard]] size_t layers() const { return layers_; }
  [[nodiscard]] size_t count() const { return has_heads_ ? 2 * layers_ : layers_; }
  [[nodiscard]] bool has_heads() const { return has_heads_; }
  [[nodiscard]] bool IsAttention(size_t place) const { return place >= layers_; }
  [[nodiscard]] size_t LayerOf(size_t place) const { return place % layers_; }

 private:
  size_t layers_;
  bool has_heads_;
};

/// Prices and damages of a build's candidates. All referred to must outlive it.
class ContractCosts {
 public:
  /// Called with each candidate that was compared for all layers, and the factor for its times.
  using OnCompared = std::function<void(const std::string& name, const Evaluation& result, double scale)>;

  ContractCosts(const ContractBuild& build, ContractJudge& judge) : build_(build), judge_(judge), places_(build) {}

  /// Compares every candidate, for all layers, with the dense model, and then each layer by itself. `most`: a
  /// divergence, in nats, above which one place alone is taken to break the bounds.
  [[nodiscard]] absl::Status Measure(double most, const OnCompared& on_compared);

  [[nodiscard]] const ContractPlaces& places() const { return places_; }
  /// By place and choice; empty before Measure(). Infinitely dear is what a place cannot have.
  [[nodiscard]] const std::vector<std::vector<ChoiceCost>>& by_place() const { return costs_; }
  /// Whether what MLPs choose is for heads as well, whose time counts then.
  [[nodiscard]] bool with_attention() const { return with_attention_; }
  [[nodiscard]] double dense_bytes() const { return dense_bytes_; }

  /// The divergence, in nats, with this choice in one place and all others dense.
  [[nodiscard]] absl::StatusOr<double> DamageAlone(size_t place, size_t choice) const;

 private:
  [[nodiscard]] const std::string& Candidate(size_t choice) const { return build_.candidates[choice - 1]; }
  [[nodiscard]] bool MayHave(size_t place, size_t choice) const;
  [[nodiscard]] double PriceOf(size_t place, const LayerCosts& costs, double scale) const;
  [[nodiscard]] absl::Status PriceCandidates(const OnCompared& on_compared);
  void SetPrice(size_t place, size_t choice, const Evaluation& result, double scale);
  [[nodiscard]] std::map<std::string, std::vector<size_t>> Families() const;
  [[nodiscard]] size_t Boldest(const std::vector<size_t>& family) const;
  [[nodiscard]] absl::Status MeasureHeads(std::vector<size_t> family, double most);
  [[nodiscard]] absl::Status MeasureNeurons(const std::vector<size_t>& family);
  void MatchWhole(size_t choice);

  const ContractBuild& build_;
  ContractJudge& judge_;
  ContractPlaces places_;
  double dense_bytes_ = 0;
  bool with_attention_ = false;
  std::vector<double> divergences_;  // of the candidates, each for all layers
  std::vector<std::vector<ChoiceCost>> costs_;
  std::vector<std::vector<double>> missed_;  // by MLP and choice, of the squares of values
};

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_CONTRACTCOSTS_H_
