// Checks of weights.safetensors against the manifest, byte for byte.
#ifndef DEJAVU_RUNTIME_ARTIFACT_WEIGHTFILE_H_
#define DEJAVU_RUNTIME_ARTIFACT_WEIGHTFILE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ir/base/Safetensors.h"
#include "runtime/artifact/Manifest.h"

namespace dejavu {

/// Reports bytes done and in all; called from several threads, but never from two at once.
using HashProgress = std::function<void(int64_t, int64_t)>;

/// What stands before the tensors in a whole safetensors file: the length and the JSON text.
[[nodiscard]] absl::StatusOr<std::span<const std::byte>> SafetensorsHeader(std::span<const std::byte> file);

/// "PATH: is damaged: the manifest says EXPECTED, but the file has ACTUAL" and what to do.
[[nodiscard]] absl::Status DamagedFileError(const std::string& path, const std::string& expected,
                                            const std::string& actual);

/// The same for a tensor's hash.
[[nodiscard]] absl::Status DamagedTensorError(const std::string& path, const std::string& tensor, uint64_t expected,
                                              uint64_t actual);

/// Compares the file's tensors with those that the manifest lists, by name.
[[nodiscard]] absl::Status CheckTensorNames(const Safetensors& file, const Manifest& manifest);

/// Compares all bytes of the file, but for the tensors named in `skipped`, with the manifest's hashes, by all cores.
/// Fillers must be zero. `progress` may be null.
[[nodiscard]] absl::Status VerifyTensorHashes(const Safetensors& file, const Manifest& manifest,
                                              const std::set<std::string>& skipped, const HashProgress& progress);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_WEIGHTFILE_H_
