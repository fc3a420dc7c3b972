// Decodes windows of a text by a model, and by a reference in step with it.
#ifndef DEJAVU_TOOLS_DRIVER_WINDOWDECODER_H_
#define DEJAVU_TOOLS_DRIVER_WINDOWDECODER_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/engine/Session.h"
#include "tools/driver/LaunchTimes.h"
#include "tools/driver/ProgressBar.h"
#include "tools/driver/Recall.h"
#include "tools/driver/WindowScores.h"

namespace dejavu {

/// Shows how far all windows are, and the perplexity so far. For any thread.
class WindowProgress {
 public:
  WindowProgress(const std::string& label, int64_t total) : bar_(label), total_(total) {}

  /// A target was scored.
  void Add(double nll);

 private:
  std::mutex mutex_;
  ProgressBar bar_;
  int64_t total_;
  int64_t tokens_ = 0;
  double nll_ = 0;
};

/// What WindowDecoders share.
struct WindowModels {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const Model> reference = nullptr;        ///< Or null.
  std::shared_ptr<const HeadEnergies> energies = nullptr;  ///< Of the reference, if its layers can be compared.
};

/// A session of the model, and one of the reference if there is one. For one thread at a time.
class WindowDecoder {
 public:
  /// `timed`: whether the launches' times are kept.
  [[nodiscard]] static absl::StatusOr<std::unique_ptr<WindowDecoder>> Create(const WindowModels& models, int threads,
                                                                             bool timed);

  /// Scores the window whose first input is `ids[0]` and whose last target is the last of `ids`. `tokens_before` is for
  /// messages. Cancelled by an interrupt.
  [[nodiscard]] absl::Status Decode(std::span<const int32_t> ids, int64_t tokens_before, WindowScores& scores,
                                    WindowProgress& progress);

  [[nodiscard]] const Session& session() const { return *session_; }
  /// Null without a reference.
  [[nodiscard]] const Session* other() const { return other_.get(); }
  /// Nothing unless timed, and of the reference nothing without one.
  [[nodiscard]] const std::optional<LaunchTimes>& times() const { return times_; }
  [[nodiscard]] const std::optional<LaunchTimes>& other_times() const { return other_times_; }

 private:
  WindowDecoder() = default;
  void AddTimes();
  void AddLayers(WindowScores& scores) const;

  std::unique_ptr<Session> session_;
  std::unique_ptr<Session> other_;
  std::optional<LayerWatch> watch_;
  std::optional<LayerWatch> other_watch_;  // if layers can be compared
  std::shared_ptr<const HeadEnergies> energies_;
  std::optional<LaunchTimes> times_;
  std::optional<LaunchTimes> other_times_;
};

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_WINDOWDECODER_H_
