// A profile: what dejavu-profile learned about a model, as a directory.
//
//   predictors.safetensors  per layer N: layers.N.mlp.down f16<rank, H>, .down_bias f32<rank>, .up f16<neurons, rank>,
//   and
//                           for each mass M .bias.M f32<neurons>, with which scores above zero keep M of the layer's
//                           activations; .oracle.M f32<neurons>, a bias of fc1 which leaves above zero what a perfect
//                           predictor would choose for that; layers.N.heads.weight f16<heads, H>, and for each share
//                           S .bias.S f32<heads>, which choose S of the heads of all layers
//   profile.json            what it was made from and how, and the statistics of each layer
//   summary.txt             the same as a table for people
#ifndef DEJAVU_PASSES_SPARSITY_PROFILE_H_
#define DEJAVU_PASSES_SPARSITY_PROFILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/base/Status.h"
#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"

namespace dejavu {

inline constexpr int64_t kProfileFormat = 1;
inline constexpr char kProfileFile[] = "profile.json";
inline constexpr char kPredictorsFile[] = "predictors.safetensors";

/// What a predictor's threshold for one mass does on text that it was not trained on.
struct ProfilePoint {
  /// The share that is kept of the sum of amounts times norms; of heads, that of the heads of all layers that is
  /// chosen.
  double mass = 0;
  double threshold = 0;  ///< Part of the bias already.
  double kept = 0;       ///< The share of the neurons or heads that is chosen.
  double recall = 0;     ///< The share of the active ones that is chosen; of heads, that of what the layer's matter.
};

struct ProfilePredictor {
  int64_t rank = 0;                  ///< Of heads, which have one matrix: their number.
  std::vector<ProfilePoint> points;  ///< By rising mass.
};

struct ProfileLayer {
  double density = 0;              ///< The share of the neurons that is active.
  std::vector<double> mass_curve;  ///< Mass of the best shares of a token's neurons; see kCurveShares.
  std::optional<ProfilePredictor> mlp;
  std::optional<ProfilePredictor> heads;
  /// What a perfect predictor of neurons would choose: those of the largest amounts times norms, above a threshold. Its
  /// rank is the width.
  std::optional<ProfilePredictor> oracle;
};

struct Profile {
  std::string model_hash;      ///< HashModel() of the model.
  std::string tokenizer_hash;  ///< Of vocab.json and merges.txt.
  std::string text_hash;
  int64_t lookahead = 1;    ///< What neurons and heads were predicted from; see Lookahead.h.
  int64_t matrix_bits = 4;  ///< Of the matrices' elements, as ranks and thresholds were chosen for.
  int64_t tokens = 0;       ///< That the model was run on.
  int64_t rows = 0;         ///< Of them recorded, the held out ones included.
  int64_t held_out = 0;
  std::vector<ProfileLayer> layers;
};

/// Reads and checks profile.json in `folder`. Every fault is a user error that names file and field.
[[nodiscard]] absl::StatusOr<Profile> ReadProfile(const std::string& folder);
[[nodiscard]] std::string PrintProfile(const Profile& profile);
/// On one line.
[[nodiscard]] std::string PrintProfileLine(const Profile& profile);

/// One layer's entry as a file of its own.
[[nodiscard]] absl::StatusOr<ProfileLayer> ReadProfileLayer(const std::string& path);
[[nodiscard]] std::string PrintProfileLayer(const ProfileLayer& layer);

/// "layers.3.mlp." and "0.999": how predictors.safetensors names its tensors.
[[nodiscard]] std::string PredictorPrefix(int64_t layer, std::string_view kind);
[[nodiscard]] std::string MassText(double mass);

/// What tells models with other weights apart, whatever file they came in: the hash of the bytes of all layers' fc1, in
/// the layout of a checkpoint. `module` has an @decode or a @prefill with its MLPs, at any stratum from [model] on.
[[nodiscard]] absl::StatusOr<std::string> HashModel(const Module& module, WeightStore& weights);

}  // namespace dejavu

#endif  // DEJAVU_PASSES_SPARSITY_PROFILE_H_
