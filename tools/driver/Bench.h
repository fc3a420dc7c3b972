// Latency of decoding, beside what the memory could do.
#ifndef DEJAVU_TOOLS_DRIVER_BENCH_H_
#define DEJAVU_TOOLS_DRIVER_BENCH_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/engine/Model.h"
#include "tools/driver/TraceFile.h"

namespace dejavu {

struct BenchOptions {
  std::vector<std::vector<int32_t>> prompts;  ///< Of equal length, one for each sequence of the batch.
  int64_t new_tokens = 64;
  int64_t repeats = 5;
  int threads = 0;
  bool trace = false;  ///< Whether a token's timeline is wanted.
};

/// All launches of one kernel symbol, per decoded token. The time is the sum of the launches' medians over the tokens.
struct KernelTime {
  std::string symbol;
  int64_t launches = 0;
  double microseconds = 0;
  double bytes = 0;
};

/// Times are of single decode steps, each with the choice of the likeliest next token, over all repeats; a step takes a
/// token of each sequence, and what is stated for a token is the step's, divided by their number. Densities are of
/// steps: the union of what the sequences need. GB are 10^9 bytes. Copy rates count bytes read and bytes written.
struct BenchResult {
  int64_t sequences = 1;
  double ms_per_step = 0;   ///< The median.
  double ms_per_token = 0;  ///< The median.
  double ms_per_token_p10 = 0;
  double ms_per_token_p90 = 0;
  double prefill_ms = 0;  ///< Of all prompts; the median over the repeats.
  double bytes_per_token = 0;
  /// The medians of what the device's memory meter measured between the repeats; on a CPU over buffers as large as one
  /// token's reads.
  double copy_gb_per_s = 0;
  std::optional<double> read_gb_per_s;  ///< Nothing where the device doesn't measure it.
  double mlp_density = 0;
  double head_density = 0;
  int threads = 0;
  std::vector<KernelTime> kernels;  ///< The slowest first, from one more, untimed repeat.
  /// If asked for, of the token after the new ones; their bytes are means over these.
  std::vector<TracedLaunch> trace;

  [[nodiscard]] double gb_per_s() const { return bytes_per_token / 1e6 / ms_per_token; }
};

/// Takes the prompts through the model and decodes greedily, `repeats` times after one run to warm up.
[[nodiscard]] absl::StatusOr<BenchResult> Bench(const std::shared_ptr<const Model>& model, const BenchOptions& options);

/// `count` ids of the vocabulary from a seed, without the special tokens at its start where there are others.
[[nodiscard]] std::vector<int32_t> RandomTokens(int64_t count, int64_t vocab, uint64_t seed = 1);

}  // namespace dejavu

#endif  // DEJAVU_TOOLS_DRIVER_BENCH_H_
