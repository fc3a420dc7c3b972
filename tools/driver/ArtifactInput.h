// An artifact as the input of dejavu-opt.
#ifndef DEJAVU_TOOLS_DRIVER_ARTIFACTINPUT_H_
#define DEJAVU_TOOLS_DRIVER_ARTIFACTINPUT_H_

#include <string>

#include "absl/status/status.h"
#include "ir/import/WeightStore.h"
#include "runtime/artifact/ArtifactReader.h"

namespace dejavu {

/// Lets `store` read the weights that `artifact` holds from there, so that the model that it was made from need not be
/// there. The first read compares all of them with the manifest's hashes.
[[nodiscard]] absl::Status RegisterArtifactWeights(const ArtifactReader& artifact, WeightStore& store);

/// The folder of the tokenizer that belongs to `input`: the artifact's own or the Hugging Face directory itself. Empty
/// where there is none, which is said on stderr for a directory.
[[nodiscard]] std::string TokenizerOf(const std::string& input, bool is_artifact);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_ARTIFACTINPUT_H_
