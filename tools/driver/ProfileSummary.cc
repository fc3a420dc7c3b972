// The tables of a profile for people.
#include <algorithm>

#include "absl/strings/str_format.h"
#include "tools/driver/Profile.h"

namespace dejavu {
namespace {

/// A row of column titles: the masses that some layer's predictor has thresholds for.
std::string Titles(const Profile& profile, std::optional<ProfilePredictor> ProfileLayer::* kind) {
  std::string text;
  const auto layer = std::find_if(profile.layers.begin(), profile.layers.end(),
                                  [&](const ProfileLayer& one) { return (one.*kind).has_value(); });
  if (layer != profile.layers.end()) {
    for (const ProfilePoint& point : ((*layer).*kind)->points) {
      absl::StrAppendFormat(&text, "  %6s%%", MassText(point.mass * 100).substr(0, 5));
    }
  }
  return text + "\n";
}

/// "the attention 2 layers before" for layers back; `own` for 0.
std::string From(int64_t back, const char* own) {
  return back == 0   ? own
         : back == 1 ? "the attention one layer before"
                     : absl::StrCat("the attention ", back, " layers before, but of none before the first");
}

std::string Shares(const ProfilePredictor& predictor) {
  std::string text;
  for (const ProfilePoint& point : predictor.points) {
    absl::StrAppendFormat(&text, "  %6.2f%%", point.kept * 100);
  }
  return text;
}

}  // namespace

std::string ProfileSummary(const Profile& profile) {
  std::string text = absl::StrFormat(
      "%d tokens, the last %d held out; neurons predicted from the input of %s.\n"
      "Kept: the share of a layer's neurons that is chosen where so much of the mass of its activations is kept.\n\n"
      "layer  active  rank",
      profile.tokens, profile.held_out,
      profile.lookahead == 0 ? "the MLP itself" : From(profile.lookahead - 1, "their layer's attention"));
  text += Titles(profile, &ProfileLayer::mlp);
  bool has_heads = false;
  for (size_t i = 0; i < profile.layers.size(); ++i) {
    const ProfileLayer& layer = profile.layers[i];
    has_heads = has_heads || layer.heads;
    absl::StrAppendFormat(&text, "%5d  %5.1f%%", i, layer.density * 100);
    if (layer.mlp) {
      absl::StrAppendFormat(&text, "  %4d%s", layer.mlp->rank, Shares(*layer.mlp));
    }
    text += "\n";
  }
  if (!has_heads) {
    return text;
  }
  absl::StrAppendFormat(&text,
                        "\nHeads predicted from the input of %s. The share of a layer's heads that is chosen where "
                        "so many of all\nlayers' heads are; left out are those that seem to matter least to the "
                        "output.\n\nlayer",
                        From(profile.lookahead, "their own attention"));
  text += Titles(profile, &ProfileLayer::heads);
  for (size_t i = 0; i < profile.layers.size(); ++i) {
    absl::StrAppendFormat(&text, "%5d%s\n", i,
                          profile.layers[i].heads ? Shares(*profile.layers[i].heads) : "  dense: nothing comes before");
  }
  return text;
}

}  // namespace dejavu
