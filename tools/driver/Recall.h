// Which neurons are active, and how many of those a dense model has the lists of a sparse one hold.
#ifndef DEJAVU_TOOLS_DRIVER_RECALL_H_
#define DEJAVU_TOOLS_DRIVER_RECALL_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/engine/Session.h"
#include "tools/driver/HeadRecall.h"
#include "tools/driver/Layers.h"

namespace dejavu {

/// The neurons of one layer for one token.
struct LayerNeurons {
  bool listed = false;            ///< Whether the layer has a list; otherwise all neurons are computed.
  std::span<const int32_t> list;  ///< Their numbers, ascending.
  std::span<const float> values;  ///< After ReLU: of those listed, or of all.
};

/// Keeps the values of a session's neurons and heads from token to token.
class LayerWatch {
 public:
  /// The session must collect statistics and outlive the watch. Layers whose plan doesn't say where their neurons or
  /// heads are stay unknown.
  [[nodiscard]] static absl::StatusOr<LayerWatch> Create(Session& session);

  /// Of the token that was last decoded; valid until the next. Nothing for a layer that is unknown.
  [[nodiscard]] LayerNeurons Neurons(size_t layer) const;
  [[nodiscard]] LayerHeads Heads(size_t layer) const;

 private:
  struct Place {
    bool known = false;
    bool listed = false;
    size_t values = 0;  // numbers for Session::Watched
    size_t list = 0;
  };
  LayerWatch() = default;
  [[nodiscard]] std::span<const float> Values(const Place& place) const;
  /// At most `most` numbers.
  [[nodiscard]] std::span<const int32_t> List(const Place& place, size_t most) const;

  const Session* session_ = nullptr;
  std::vector<Place> neurons_;
  std::vector<Place> heads_;
};

/// Sums over tokens for one layer.
struct RecallCounts {
  int64_t tokens = 0;
  int64_t active = 0;        ///< Neurons of the reference above 0.
  int64_t listed = 0;        ///< Neurons that the model computed.
  int64_t found = 0;         ///< Both.
  double mass = 0;           ///< The active neurons' values, summed up.
  double found_mass = 0;     ///< Those of them that were found.
  double squares = 0;        ///< The squares of the active neurons' values, summed up.
  double found_squares = 0;  ///< Those of them that were found.
  int64_t own_active = 0;    ///< Neurons above 0 of those that the model computed.

  /// Adds one token; `neurons` are those of the layer, listed or not.
  void Add(const LayerNeurons& model, int64_t neurons);
  /// Adds the tokens of `other`.
  void Add(const RecallCounts& other);
  void AddReference(const LayerNeurons& model, const LayerNeurons& reference, int64_t neurons);

  [[nodiscard]] double Recall() const { return active > 0 ? Share(found, active) : 1; }
  [[nodiscard]] double MassRecall() const { return mass > 0 ? found_mass / mass : 1; }
  /// The share of the squares that was not found: small divergences grow with it in proportion.
  [[nodiscard]] double MissedSquares() const { return squares > 0 ? 1 - found_squares / squares : 0; }
  [[nodiscard]] double Precision() const { return listed > 0 ? Share(found, listed) : 1; }

 private:
  static double Share(int64_t part, int64_t all) { return static_cast<double>(part) / static_cast<double>(all); }
};

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_RECALL_H_
