// The compiler's own pipelines, one for each step from stratum to stratum.
#ifndef DEJAVU_PASSES_PIPELINES_H_
#define DEJAVU_PASSES_PIPELINES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "ir/base/Status.h"
#include "ir/core/Module.h"

namespace dejavu {

struct NamedPipeline {
  std::string_view name;
  std::string_view summary;
  /// Passes in order, each with the reason for its place.
  absl::Span<const std::pair<std::string_view, std::string_view>> steps;
};

[[nodiscard]] absl::Span<const NamedPipeline> AllPipelines();
[[nodiscard]] const NamedPipeline* FindPipeline(std::string_view name);

/// What --sparsity=predicted keeps: fixed shares of each layer's neurons and heads, or what trained predictors say.
struct Budgets {
  std::optional<double> mlp_density = std::nullopt;
  std::optional<double> head_density = std::nullopt;
  std::string profile = {};                   ///< A directory that dejavu-profile wrote; then the others are not set.
  std::optional<double> mass = std::nullopt;  ///< Of its thresholds.
  std::optional<double> head_share = std::nullopt;  ///< Of the heads of all layers, what its thresholds choose.
  bool lazy_kv = false;                             ///< Heads get keys and values when they are chosen.
};

/// An error unless `sparsity` is exact, predicted or none, or if `module` was made with another one already: no pass
/// goes back.
[[nodiscard]] absl::Status CheckSparsity(const Module& module, std::string_view sparsity);

/// The pipeline text that takes `module` from its stratum to `to` with `--sparsity=sparsity`; without one, what the
/// module has or else exact. `budgets` are for predicted alone. `batch` has the numbers of sequences, from 2 to 8,
/// that one call shall be able to decode beside 1. An error if `to` comes before or a word is unknown; empty text if
/// there is nothing to do.
[[nodiscard]] absl::StatusOr<std::string> PipelineBetween(const Module& module, std::string_view to,
                                                          std::optional<std::string_view> sparsity,
                                                          const Budgets& budgets = {},
                                                          absl::Span<const int64_t> batch = {});

}  // namespace dejavu

#endif  // DEJAVU_PASSES_PIPELINES_H_
