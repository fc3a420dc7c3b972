// Models compiled in process, for tests of the whole way from a file to logits.
#ifndef DEJAVU_TESTS_E2E_COMPILED_H_
#define DEJAVU_TESTS_E2E_COMPILED_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/core/Module.h"
#include "ir/import/WeightStore.h"
#include "passes/Pipelines.h"
#include "runtime/engine/Session.h"

namespace dejavu {

/// The folder of the small models, and the one with trained weights.
inline const std::string kModels = DEJAVU_SOURCE_DIR "/tests/models/";
inline const std::string kDemo = kModels + "opt-demo-7m";

/// A session on a freshly compiled artifact, which goes away with it; null after a failure, which fails the test.
class Compiled {
 public:
  /// `input` is a .onnx file, a Hugging Face directory or the shape of a synthetic model, such as "opt-125m:layers=1".
  /// `batch` has numbers of sequences to be decoded at once.
  Compiled(const std::string& input, const std::string& sparsity, const std::string& isa, const std::string& name,
           int threads = 2, const std::vector<int64_t>& batch = {}, const Budgets& budgets = {});
  ~Compiled();
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;

  [[nodiscard]] Session* session() const { return session_.get(); }
  [[nodiscard]] const std::shared_ptr<const Model>& model() const { return model_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Session> session_;
};

/// A session on an artifact of the module, which must be at [sched]; it is gone from the disk already.
[[nodiscard]] absl::StatusOr<std::unique_ptr<Session>> LoadSession(const Module& module, WeightStore& store,
                                                                   const SessionOptions& options = {
                                                                       .threads = 3, .statistics = true});

/// The best instruction set of this CPU.
[[nodiscard]] std::string BestIsa();

/// ||actual - expected|| / ||expected||.
[[nodiscard]] double RelativeError(std::span<const float> actual, const double* expected);

}  // namespace dejavu

#endif  // DEJAVU_TESTS_E2E_COMPILED_H_
