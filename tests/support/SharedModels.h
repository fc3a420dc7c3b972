// Trained models that are too large for the project and may lie beside it.
#ifndef DEJAVU_TESTS_SUPPORT_SHAREDMODELS_H_
#define DEJAVU_TESTS_SUPPORT_SHAREDMODELS_H_

#include <string>

namespace dejavu {

/// A copy of one shared model whose weights are unpacked; goes away with the object.
class SharedModel {
 public:
  /// Looks in the folder $DEJAVU_SHARED, or else in `shared` beside the project.
  explicit SharedModel(const std::string& name);
  ~SharedModel();
  SharedModel(const SharedModel&) = delete;
  SharedModel& operator=(const SharedModel&) = delete;

  /// Why the model cannot be used, as a reason to skip a test; empty if it can.
  [[nodiscard]] const std::string& missing() const { return missing_; }
  /// The folder with config.json, model.safetensors and expected.npz.
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string missing_;
};

}  // namespace dejavu

#endif  // DEJAVU_TESTS_SUPPORT_SHAREDMODELS_H_
