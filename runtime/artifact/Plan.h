// plan-<target>.json: the launches of each function in order, and the buffers they read and write.
#ifndef DEJAVU_RUNTIME_ARTIFACT_PLAN_H_
#define DEJAVU_RUNTIME_ARTIFACT_PLAN_H_

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ir/base/DType.h"

namespace dejavu {

/// Alignment in bytes of every buffer that a kernel sees.
inline constexpr int64_t kBufferAlignment = 64;
/// In an index<> buffer the count (int32) is at byte 0 and the entries (int32 each) start here.
inline constexpr int64_t kIndexEntriesOffset = 64;

/// Where an argument of a launch lives.
struct BufferRef {
  enum class Kind { kAbsent, kArena, kWeight, kCache };
  Kind kind = Kind::kAbsent;
  int64_t value = 0;  ///< Arena: byte offset. Weight and cache: number in Plan::weights or Plan::caches.
  int64_t bytes = 0;  ///< How much the kernel may touch, where the plan says so; 0 = not stated.
};

/// y = act(x w^T + bias) + residual by the runtime's own matrix product; the attributes of a "gemm" launch.
struct GemmSpec {
  int64_t n = 0;
  int64_t k = 0;
  DType dtype = DType::kF32;  ///< Of w: f32, f16 or bf16.
  bool relu = false;
  bool transposed = false;  ///< w is (k, n) instead of (n, k).
  bool bias = false;
  bool residual = false;
  int64_t tokens = 0;  ///< Rows of x where the plan fixes them, as for the last token's logits; 0 = those of the call.
};

/// Extra bytes that a launch reads for each entry of the index<> argument number `arg`, and for each entry and each
/// position of the context.
struct PerActive {
  int64_t arg = 0;
  int64_t bytes = 0;
  int64_t bytes_per_context_token = 0;
};

/// Extra bytes for each entry of argument `active` with a value in argument `h` (f32<active, sequences>) that is not 0.
struct PerPositive {
  int64_t h = 0;
  int64_t active = 0;
  int64_t bytes = 0;
};

/// How many of `entries` have a value in h (f32<entries, sequences>) that is not 0.
[[nodiscard]] int64_t CountPositives(const float* h, int64_t entries, int64_t sequences);

/// A launch's scratch memory starts with this many bytes of counters: zero before the first launch, and zero again
/// after every launch. What follows may hold anything, so launches that never overlap can share one scratch memory.
inline constexpr int64_t kScratchCounterBytes = 16384;

/// How many threads of a device run a launch, and what memory they share; the compiler decides it for each of its
/// instruction sets, a device's runtime follows it.
struct LaunchGrid {
  int64_t blocks = 1;
  /// At most this many blocks for each multiprocessor are launched: the kernel is then right for any number of blocks
  /// from 1 to `blocks`. 0: exactly `blocks`.
  int64_t per_sm = 0;
  int64_t threads = 0;  ///< Of a block.
  int64_t shared = 0;   ///< Bytes of dynamic shared memory of a block.
  int64_t scratch = 0;  ///< Bytes of device memory for the kernel's own use; 0: the kernel has no such argument.
  bool early = false;   ///< The kernel may be started before those ahead of it end, and waits for them by itself.
};

struct Launch {
  std::string kernel;            ///< The kernel's name in the IR, such as "linear".
  std::string symbol;            ///< The function in the code file; empty for a builtin.
  std::optional<GemmSpec> gemm;  ///< Set for the builtin "gemm".
  int64_t stream = 0;            ///< Launches of one stream follow each other; those of others may run beside them.
  std::vector<int64_t> waits;    ///< Numbers of earlier launches of the function, of any stream, that must have ended.
  std::vector<BufferRef> args;   ///< Operands, then results.
  int64_t bytes = 0;             ///< Read and written whatever the data are.
  int64_t bytes_per_context_token = 0;
  int64_t flops = 0;
  std::optional<PerActive> per_active;
  std::optional<PerPositive> per_positive;
  int64_t layer = -1;      ///< -1: belongs to no layer.
  int64_t neurons = 0;     ///< Neurons of the layer's MLP where this launch has a list of them; 0 elsewhere.
  int64_t heads = 0;       ///< Heads of the layer's attention where it has a list of these.
  bool predictor = false;  ///< Whether the bytes count as the predictor's.
  std::map<std::string, LaunchGrid> grids;  ///< By instruction set, for a device with grids of threads.
  nlohmann::json params;                    ///< The kernel's attributes as the compiler wrote them, or null.
};

/// Launches that wait for none of each other, as one kernel of devices that have it. On others they run one by one.
struct Joint {
  std::vector<int64_t> launches;  ///< Their numbers in the order of the kernel's arguments, at least two.
  std::string symbol;             ///< The function in the code file; its arguments are theirs, one after the other.
  std::map<std::string, LaunchGrid> grids;  ///< By instruction set: those that have the kernel.
};

struct PlanFunction {
  /// More than 1: a call takes one token of each of so many sequences. A cache argument is then that many times as
  /// large as Plan::caches says, one sequence's part after the other's, and kernels get the past of each sequence.
  int64_t sequences = 1;
  BufferRef tokens;  ///< i32<T>
  BufferRef logits;  ///< f32<sequences,V>
  BufferRef choice;  ///< i32<sequences>: likeliest tokens, -1 where there is none; absent where the host chooses.
  std::vector<Launch> launches;
  std::vector<Joint> joints = {};  ///< No launch is in two of them, and they don't make launches wait for themselves.
  /// f32<T,W> each, by name: what else the function leaves for the host to read, as an artifact made for profiling has
  /// it. `bytes` is that of max_tokens rows.
  std::map<std::string, BufferRef> taps = {};
};

struct CacheInfo {
  std::string name;
  int64_t bytes = 0;
};

struct Plan {
  std::string target;
  int64_t arena_bytes = 0;
  int64_t max_tokens = 0;  ///< Of one call of prefill.
  int64_t positions = 0;
  std::vector<std::string> weights;  ///< Tensor names in weights.safetensors.
  std::vector<CacheInfo> caches;
  std::map<std::string, PlanFunction> functions;  ///< As DecodeName() says, and "prefill" where the target has one.

  /// The function called `name`, or null.
  [[nodiscard]] const PlanFunction* FindFunction(const std::string& name) const;
};

/// Parses the text of a plan and checks everything that needs no other file: version, required fields, offsets within
/// the arena, weight, cache and argument numbers, alignment, arguments of builtins. `vocab` is the width of the logits.
/// Errors name the field, not the file.
[[nodiscard]] absl::StatusOr<Plan> ParsePlan(std::string_view text, int64_t vocab);

[[nodiscard]] nlohmann::json PlanToJson(const Plan& plan);

/// Checks that weight arguments of builtins and those with stated sizes fit their tensors; `bytes[i]` belongs to
/// plan.weights[i].
[[nodiscard]] absl::Status CheckWeightSizes(const Plan& plan, const std::vector<int64_t>& bytes);

}  // namespace dejavu

#endif  // DEJAVU_RUNTIME_ARTIFACT_PLAN_H_
