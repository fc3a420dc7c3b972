// What dejavu-profile does: record a model over a text, train predictors, write a profile.
#ifndef DEJAVU_TOOLS_DRIVER_PROFILE_H_
#define DEJAVU_TOOLS_DRIVER_PROFILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "passes/sparsity/Profile.h"
#include "tools/driver/CommandLine.h"

namespace dejavu {

struct ProfileOptions {
  std::string model;      ///< A .onnx file or a Hugging Face directory.
  std::string output;     ///< The directory to write.
  std::string text;       ///< A file of documents, as dejavu-eval takes it; or
  int64_t self = 0;       ///< so many tokens that the model chooses itself.
  std::string tokenizer;  ///< Folder of vocab.json and merges.txt; empty: the model's own.
  int64_t max_tokens = 65536;
  int64_t lookahead = 1;
  int64_t rank = 0;         ///< 0: chosen for each layer.
  int64_t matrix_bits = 4;  ///< Of the predictors' elements, as they will be deployed: 4, 8 or 16.
  DeviceFlags device;
};

/// Everything is written to a folder in `output` first, and finished layers stay there when the program is stopped; the
/// same call goes on from them. Errors name the file, the flag or the layer.
[[nodiscard]] absl::StatusOr<Profile> MakeProfile(const ProfileOptions& options);

/// A table of the layers for people.
[[nodiscard]] std::string ProfileSummary(const Profile& profile);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_PROFILE_H_
