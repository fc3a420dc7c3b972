// A model of a few hundred weights with hand-written kernels: the runtime's tests run without the compiler.
#ifndef DEJAVU_TESTS_UNIT_RUNTIME_TOYMODEL_H_
#define DEJAVU_TESTS_UNIT_RUNTIME_TOYMODEL_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/artifact/Manifest.h"
#include "runtime/artifact/Plan.h"

namespace dejavu::toy {

inline constexpr int64_t kHidden = 8;
inline constexpr int64_t kNeurons = 16;
inline constexpr int64_t kVocab = 24;
inline constexpr int64_t kPositions = 32;
inline constexpr int64_t kMaxTokens = 5;

/// By tensor name: embed (V,8), fc1 (16,8), fc1.bias (16), fc2 (16,8), fc2.bias (8). Equal seeds give equal weights.
using ToyWeights = std::map<std::string, std::vector<float>>;
[[nodiscard]] ToyWeights MakeWeights(uint32_t seed);

/// The logits after `tokens` by the obvious loops, and the active neurons per token if `active` is not null.
[[nodiscard]] std::vector<float> Reference(const ToyWeights& weights, std::span<const int32_t> tokens,
                                           std::vector<int64_t>* active = nullptr);

[[nodiscard]] Plan MakePlan();
/// `plan` with a function that decodes a token of each of `sequences`, whose neurons are united.
[[nodiscard]] Plan WithBatch(Plan plan, int64_t sequences);
/// Names the code file for an instruction set that every machine of this architecture has.
[[nodiscard]] Manifest MakeManifest();

/// A tokenizer for WriteArtifact(): the special tokens 0 to 3, then the letters a to t; all else is beyond the
/// vocabulary.
[[nodiscard]] std::map<std::string, std::string> TokenizerFiles();

/// Made-up weights for a synthetic toy model.
[[nodiscard]] std::map<std::string, SyntheticTensor> SyntheticTensors();

/// Writes the toy model as the artifact `path`. Files of `extra`, such as a tokenizer's, are added by name.
[[nodiscard]] absl::Status WriteArtifact(const std::string& path, uint32_t seed = 1,
                                         const std::map<std::string, std::string>& extra = {});

/// The same for other targets: `files` are all but the weights, which a synthetic manifest has none of, and the module.
[[nodiscard]] absl::Status WriteArtifact(const std::string& path, uint32_t seed, const Manifest& manifest,
                                         const std::map<std::string, std::string>& files);

}  // namespace dejavu::toy

#endif  // DEJAVU_TESTS_UNIT_RUNTIME_TOYMODEL_H_
