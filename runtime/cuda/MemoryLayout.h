// Where everything lies in the device's memory, planned before anything is allocated: one piece for a model's weights,
// one for each session.
#ifndef DEJAVU_RUNTIME_CUDA_MEMORYLAYOUT_H_
#define DEJAVU_RUNTIME_CUDA_MEMORYLAYOUT_H_

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "runtime/artifact/Plan.h"

namespace dejavu::cuda {

/// Where the tensors of Plan::weights lie, in the plan's order.
struct WeightLayout {
  std::vector<int64_t> offsets;
  int64_t bytes = 0;
};
[[nodiscard]] WeightLayout LayOutWeights(const std::vector<int64_t>& tensor_bytes);

/// What the host writes before every token, in one copy. It ends where the arena starts, so that the token's id falls
/// on the first bytes of the arena, where the plan keeps it.
struct Control {
  std::array<int64_t, 2> dims = {1, 0};  ///< The kernels' last argument: tokens of this call, tokens in the caches.
  int32_t token = 0;
};
inline constexpr int64_t kControlBytes = 20;  // without what the compiler adds at the end

/// The stream in whose scratch memory a joint works: the first of its launches' streams.
[[nodiscard]] int64_t StreamOf(const Joint& joint, const PlanFunction& function);

/// Where a session's caches, scratch, memory of prefill's products and arena lie.
struct SessionLayout {
  std::vector<int64_t> caches;         ///< By the plan's numbers.
  std::map<int64_t, int64_t> scratch;  ///< By stream: its launches follow each other, so they share.
  int64_t arena = 0;
  int64_t bytes = 0;
  int64_t cache_bytes = 0;
  int64_t scratch_bytes = 0;
  int64_t rounded = 0;  ///< Prefill's activations in the weights' type.
  int64_t workspace = 0;
  int64_t workspace_bytes = 0;  ///< 0: the session decodes only.
};
/// `prefill`: whether the session runs the plan's "prefill". For `sequences` that decode together, caches are so many
/// times as large.
[[nodiscard]] SessionLayout LayOutSession(const Plan& plan, bool prefill, int64_t sequences = 1);

/// What a model needs on a device that has too little memory.
struct MemoryNeed {
  const WeightLayout* weights = nullptr;
  const SessionLayout* session = nullptr;
  int64_t layers = 0;       ///< Of the model.
  int64_t layer_bytes = 0;  ///< Weights and caches of one layer, on average.
};
/// Fills in what `plan` and the tensors' sizes say.
[[nodiscard]] MemoryNeed NeedOf(const Plan& plan, const std::vector<int64_t>& tensor_bytes, int64_t layers,
                                const WeightLayout& weights, const SessionLayout& session);

/// OK if `free` bytes are enough; otherwise an error that says what is needed for what, what is there, and how many of
/// the model's layers would fit.
[[nodiscard]] absl::Status CheckFits(const MemoryNeed& need, int64_t free, int64_t total, const std::string& device);

}  // namespace dejavu::cuda

#endif  // DEJAVU_RUNTIME_CUDA_MEMORYLAYOUT_H_
