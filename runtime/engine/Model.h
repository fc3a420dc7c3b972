// An artifact ready to run: its weights and kernels, shared by all sessions.
#ifndef DEJAVU_RUNTIME_ENGINE_MODEL_H_
#define DEJAVU_RUNTIME_ENGINE_MODEL_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/artifact/ArtifactReader.h"
#include "runtime/artifact/Manifest.h"
#include "runtime/artifact/Plan.h"
#include "runtime/device/Device.h"

namespace dejavu {

struct ModelOptions {
  std::string device = "cpu";  ///< "cpu", "cuda" or "cuda:N".
  WeightOptions weights = {};
};

/// Immutable after loading; any number of threads and sessions may share it.
class Model {
 public:
  /// Opens and checks the artifact `path`, and brings its weights and code to the device. An unknown device is a usage
  /// error, everything else a user error that names the file or the device.
  [[nodiscard]] static absl::StatusOr<std::shared_ptr<const Model>> Load(const std::string& path,
                                                                         const ModelOptions& options);

  [[nodiscard]] const ModelInfo& info() const { return artifact_.manifest().model; }
  [[nodiscard]] const ArtifactReader& artifact() const { return artifact_; }
  [[nodiscard]] const Plan& plan() const { return plan_; }
  [[nodiscard]] const DeviceModel& device() const { return *device_; }
  /// The instruction set of the code in use, such as "x86-64-v4".
  [[nodiscard]] const std::string& isa() const { return device_->isa(); }

 private:
  Model(ArtifactReader artifact, Plan plan, std::unique_ptr<DeviceModel> device)
      : artifact_(std::move(artifact)), plan_(std::move(plan)), device_(std::move(device)) {}

  ArtifactReader artifact_;
  Plan plan_;
  std::unique_ptr<DeviceModel> device_;
};

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ENGINE_MODEL_H_
