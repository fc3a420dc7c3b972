// manifest.json: what an artifact holds, and the sizes and hashes that every part must have.
#ifndef DEJAVU_RUNTIME_ARTIFACT_MANIFEST_H_
#define DEJAVU_RUNTIME_ARTIFACT_MANIFEST_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/artifact/SyntheticTensor.h"

namespace dejavu {

/// The version of manifest.json and plan-*.json that this runtime reads and writes.
inline constexpr int64_t kArtifactFormat = 1;
inline constexpr char kManifestFile[] = "manifest.json";
inline constexpr char kWeightsFile[] = "weights.safetensors";
inline constexpr char kTokenizerFolder[] = "tokenizer";

/// The shape of the model and its special tokens.
struct ModelInfo {
  std::string name;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t ffn = 0;
  int64_t vocab = 0;
  int64_t positions = 0;  ///< The longest context, in tokens.
  int64_t bos = 0;        ///< Opens a prompt.
  int64_t eos = 0;        ///< Ends generation.
  std::string dtype;      ///< Of the stored matrices: f32, f16 or bf16.
};

/// Object code of one target for one instruction set (x86-64-v2, x86-64-v3, x86-64-v4, aarch64, sm_80 or sm_90).
struct CodeFile {
  std::string isa;
  std::string file;
};

struct TargetInfo {
  std::string name;  ///< "cpu".
  std::string plan;  ///< The plan's file name.
  std::vector<CodeFile> code;
};

struct FileInfo {
  int64_t bytes = 0;
  uint64_t xxh3 = 0;
  /// Of the weights only: the hash of what stands before the tensors. With the tensors' hashes it covers the file, so
  /// that loading can check it in parallel pieces.
  std::optional<uint64_t> header_xxh3 = std::nullopt;
};

struct Manifest {
  std::string producer;
  ModelInfo model;
  std::string sparsity;  ///< "none", "exact", "predicted", or "oracle", which is for evaluation alone.
  std::vector<TargetInfo> targets;
  nlohmann::json contract;                ///< The quality contract and its measured outcome; null where there is none.
  std::map<std::string, FileInfo> files;  ///< By name relative to the artifact; every file but the manifest.
  std::map<std::string, uint64_t> tensors;  ///< XXH3-64 of each tensor's bytes in weights.safetensors.
  /// All tensors of a synthetic model, which has no weights.safetensors; empty for others.
  std::map<std::string, SyntheticTensor> synthetic;

  /// The target called `name`, or null.
  [[nodiscard]] const TargetInfo* FindTarget(std::string_view name) const;
};

/// Parses and checks the text of a manifest: version, seal, required fields, ranges, file names that stay inside the
/// artifact, and that every file that a target names is listed. Errors name the field, not the file.
[[nodiscard]] absl::StatusOr<Manifest> ParseManifest(std::string_view text);

/// The sealed JSON of a manifest.
[[nodiscard]] nlohmann::json ManifestToJson(const Manifest& manifest);

/// Writes the field 'xxh3': the hash of all other fields, as one line with sorted keys. ParseManifest compares it.
void SealManifest(nlohmann::json& manifest);

/// True for relative names without "..", ".", empty or hidden components, such as "tokenizer/vocab.json".
[[nodiscard]] bool IsSafeFileName(std::string_view name);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_MANIFEST_H_
