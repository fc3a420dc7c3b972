// One prompt through a model, with what dejavu-run reports about it.
#ifndef DEJAVU_TOOLS_DRIVER_RUNMODEL_H_
#define DEJAVU_TOOLS_DRIVER_RUNMODEL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/engine/Generator.h"
#include "runtime/engine/Model.h"
#include "runtime/text/Tokenizer.h"

namespace dejavu {

struct RunRequest {
  std::vector<int32_t> tokens;
  int threads = 0;
  GenerateOptions generate;
  /// Takes the prompt through the decode kernels, token by token, and keeps the logits after each.
  bool keep_logits = false;
  /// Whether bytes and density are wanted; they cost time, on a GPU more than on a CPU.
  bool statistics = false;
  /// Sees the new text piece by piece, always whole UTF-8 characters; ids as text where there is no tokenizer.
  std::function<void(const std::string&)> on_text;
};

struct RunResult {
  std::vector<int32_t> prompt;
  Generation generation;
  std::optional<std::string> text;  ///< The new tokens' text; nothing without a tokenizer.
  std::vector<float> logits;        ///< (prompt tokens, vocab), if asked for.
  double prefill_ms = 0;
  std::string device;                     ///< For people.
  std::optional<double> bytes_per_token;  ///< With RunRequest::statistics, of the tokens decoded; none if none were.
  std::optional<double> mlp_density;
};

/// `tokenizer` may be null.
[[nodiscard]] absl::StatusOr<RunResult> RunModel(const std::shared_ptr<const Model>& model, const Tokenizer* tokenizer,
                                                 const RunRequest& request);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_RUNMODEL_H_
